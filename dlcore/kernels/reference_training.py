"""What training does besides convolutions, products and sequences, in plain numpy. See `interface` for shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array, float_type
from dlcore.kernels.interface import AdamMeans, Mask, Saved, Sizes
from dlcore.rng import RandomGenerator


def softmax(x: Array, axis: int) -> Array:
    """See `interface.Kernels.softmax`."""
    if not x.size:
        return x.copy()
    exponentials: Array = np.exp(x - x.max(axis=axis, keepdims=True))
    exponentials /= exponentials.sum(axis=axis, keepdims=True)
    return exponentials


def softmax_backward(grad_y: Array, y: Array, axis: int) -> Array:
    """See `interface.Kernels.softmax_backward`."""
    grad_x: Array = y * (grad_y - (grad_y * y).sum(axis=axis, keepdims=True))
    return grad_x


def log_softmax(x: Array, axis: int) -> Array:
    """See `interface.Kernels.log_softmax`."""
    if not x.size:
        return x.copy()
    shifted = x - x.max(axis=axis, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return result


def log_softmax_backward(grad_y: Array, y: Array, axis: int) -> Array:
    """See `interface.Kernels.log_softmax_backward`."""
    grad_x: Array = grad_y - np.exp(y) * grad_y.sum(axis=axis, keepdims=True)
    return grad_x


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Saved]:
    """See `interface.Kernels.layer_norm`."""
    inverse = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + float(eps))
    unit = (x - x.mean(axis=-1, keepdims=True)) * inverse
    return unit * gamma + beta, (unit, inverse, gamma)


def layer_norm_backward(grad_y: Array, saved: Saved) -> tuple[Array, Array, Array]:
    """See `interface.Kernels.layer_norm_backward`."""
    unit, inverse, gamma = saved
    rows = (-1, len(gamma))
    grad_gamma, grad_beta = (grad_y * unit).reshape(rows).sum(axis=0), grad_y.reshape(rows).sum(axis=0)
    grad = grad_y * gamma
    along = (grad * unit).mean(axis=-1, keepdims=True)
    return (grad - grad.mean(axis=-1, keepdims=True) - unit * along) * inverse, grad_gamma, grad_beta


def _sums_of_planes(x: Array, size: int) -> Array:
    """Each plane of x (N, C, ...) with `size - 1` neighbours added."""
    rows = np.moveaxis(x, 1, -1)
    padded = np.pad(rows, [(0, 0)] * (x.ndim - 1) + [(size // 2, size // 2)])
    return np.moveaxis(np.asarray(sum(padded[..., i : i + x.shape[1]] for i in range(size))), -1, 1)


def lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Saved]:
    """See `interface.Kernels.lrn`."""
    scale = float(k) + float(alpha / size) * _sums_of_planes(np.square(x), size)
    power = scale ** float(-beta)
    return x * power, (x, scale, power, size, float(2 * alpha / size * beta))


def lrn_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.lrn_backward`."""
    x, scale, power, size, factor = saved
    grad_x: Array = grad_y * power - factor * x * _sums_of_planes(grad_y * x * power / scale, size)
    return grad_x


def relu(x: Array) -> Array:
    """See `interface.Kernels.relu`."""
    return np.maximum(x, np.float32(0))


def relu_backward(grad_y: Array, y: Array) -> Array:
    """See `interface.Kernels.relu_backward`."""
    return np.multiply(grad_y, y > 0)


def bernoulli(generator: RandomGenerator, probability: float, size: Sizes) -> Mask:
    """See `interface.Kernels.bernoulli`."""
    return generator.bernoulli(probability, size)


def masked(x: Array, mask: Mask, factor: float) -> Array:
    """See `interface.Kernels.masked`."""
    kind = float_type(x)
    result: Array = x * (mask.astype(kind) * kind.type(factor))
    return result


def require_rows(total: Array, rows: NDArray[np.int64], values: Array) -> None:
    """Raise ValueError unless all `rows` are numbers of rows of `total`, and `values` has one of its width for each."""
    count, expected = len(total), (len(rows), *total.shape[1:])
    if rows.ndim != 1 or values.shape != expected:
        raise ValueError(f"add_rows: got {rows.shape} rows and values {values.shape}, expected values {expected}")
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise ValueError(f"add_rows: got rows {rows.min()} to {rows.max()}, expected 0 to {count - 1}")


def add_rows(total: Array, rows: NDArray[np.int64], values: Array) -> None:
    """See `interface.Kernels.add_rows`. Sorted by row first, since adding at repeated places one by one is slow."""
    require_rows(total, rows, values)
    if rows.size:
        order = np.argsort(rows, kind="stable")
        found, starts = np.unique(rows[order], return_index=True)
        total[found] += np.add.reduceat(values[order], starts, axis=0)


def sgd(
    weights: Array,
    grads: Array,
    velocity: Array | None,
    rate: float | Array,
    decay: float,
    momentum: float,
    share: float,
    nesterov: bool,
) -> None:
    """See `interface.Kernels.sgd`."""
    kind = weights.dtype.type
    if decay:
        grads += kind(decay) * weights
    step = grads
    if velocity is not None:
        velocity *= kind(momentum)
        velocity += kind(share) * grads
        step = grads + kind(momentum) * velocity if nesterov else velocity
    weights -= np.asarray(rate, weights.dtype) * step


def adam(weights: Array, grads: Array, first: Array, second: Array, rate: float, kept: float, means: AdamMeans) -> None:
    """See `interface.Kernels.adam`."""
    kind = weights.dtype.type
    beta1, beta2, epsilon, bias1, bias2 = map(kind, means)
    first *= beta1
    first += (1 - beta1) * grads
    second *= beta2
    second += (1 - beta2) * np.square(grads)
    weights *= kind(kept)
    weights -= kind(rate) * (first / bias1) / (np.sqrt(second / bias2) + epsilon)


def rmsprop(
    weights: Array,
    grads: Array,
    squares: Array,
    rate: float,
    decay: float,
    kept: float,
    share: float,
    epsilon: float,
) -> None:
    """See `interface.Kernels.rmsprop`."""
    kind = weights.dtype.type
    if decay:
        grads += kind(decay) * weights
    squares *= kind(kept)
    squares += kind(share) * np.square(grads)
    weights -= kind(rate) * grads / (np.sqrt(squares) + kind(epsilon))
