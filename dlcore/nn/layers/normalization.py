"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from math import prod

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.init import ConstInitMethod, Ones, RandomUniform, Zeros
from dlcore.nn.layout import Layout, channel_sum, unbroadcast
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.nn.weights import take_initial

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "Normalize",
    "NormalizeScale",
    "SpatialBatchNormalization",
    "SpatialCrossMapLRN",
    "SpatialWithinChannelLRN",
]


@dataclass(eq=False)
class BatchNormalization(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, by column; evaluation uses the running means.

    x: (N, n_output) -> same shape.
    running = (1 - momentum) running + momentum batch, with the unbiased variance. As in BigDL the weight starts uniform
    in [0, 1) and the bias at zero, and saved running values are a mean of 0 and a variance of 1 at first.
    Source: BigDL's BatchNormalization; Ioffe and Szegedy 2015.

    Raises:
        ValueError: another number of columns.
    """

    n_output: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    init_weight: InitVar[Array | None] = None
    init_bias: InitVar[Array | None] = None
    init_grad_weight: InitVar[Array | None] = None
    init_grad_bias: InitVar[Array | None] = None
    weight: Parameter | None = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)
    running_mean: Buffer = field(init=False, repr=False)
    running_var: Buffer = field(init=False, repr=False)

    def __post_init__(self, *initial: Array | None) -> None:
        shape = (self.n_output,)
        self.weight = Parameter.create(shape, RandomUniform(1.0, 0.0), (1, 1)) if self.affine else None
        self.bias = Parameter.create(shape, Zeros(), (1, 1)) if self.affine else None
        take_initial(self, (self.weight, self.bias), initial)
        self.running_mean = Buffer(np.zeros(shape, np.float32))
        self.running_var = Buffer(np.ones(shape, np.float32))

    def set_running_mean(self, mean: Array) -> BatchNormalization:
        """Replace the running mean, (n_output,)."""
        self.running_mean.value[...] = mean
        return self

    def set_running_std(self, variance: Array) -> BatchNormalization:
        """Replace the running variance, (n_output,); BigDL's name."""
        self.running_var.value[...] = variance
        return self

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return self._columns(x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return self._columns(x, relu=True)

    def _columns(self, x: Array, relu: bool) -> tuple[Array, Pullback]:
        if x.ndim != 2 or x.shape[1] != self.n_output:
            raise ValueError(f"{self.label()}: got input {x.shape}, expected (N, {self.n_output})")
        y, pullback = self._normalise(x[:, :, None, None], relu)
        return y[:, :, 0, 0], lambda grad: pullback(grad[:, :, None, None])[:, :, 0, 0]

    def _normalise(self, x: Array, relu: bool) -> tuple[Array, Pullback]:
        gamma = np.ones(self.n_output, np.float32) if self.weight is None else self.weight.value
        beta = np.zeros(self.n_output, np.float32) if self.bias is None else self.bias.value
        by = self._by_batch if self._training and x.size else self._by_running
        return by(x, gamma, beta, relu)

    def _by_batch(self, x: Array, gamma: Array, beta: Array, relu: bool) -> tuple[Array, Pullback]:
        y, mean, var, saved = kernels.batch_norm(x, gamma, beta, self.eps, relu)
        count = x.size // self.n_output
        unbiased = var * (count / max(count - 1, 1))
        for buffer, measured in ((self.running_mean, mean), (self.running_var, unbiased)):
            buffer.value += float(self.momentum) * (measured - buffer.value)

        def pull(grad: Array) -> Array:
            grad_x, grad_gamma, grad_beta = kernels.batch_norm_backward(grad, saved)
            self._accumulate(grad_gamma, grad_beta)
            return grad_x

        return y, pull

    def _by_running(self, x: Array, gamma: Array, beta: Array, relu: bool) -> tuple[Array, Pullback]:
        inverse = 1.0 / np.sqrt(self.running_var.value + float(self.eps))
        mean = self.running_mean.value
        scale = (gamma * inverse)[:, None, None]
        shift = (beta - mean * gamma * inverse)[:, None, None]
        y = x * scale
        y += shift
        if relu:
            np.maximum(y, 0, out=y)

        def pull(grad: Array) -> Array:
            grad = kernels.relu_backward(grad, y) if relu else grad
            centred = (x - mean[:, None, None]) * inverse[:, None, None]
            self._accumulate(channel_sum(grad * centred), channel_sum(grad))
            back: Array = grad * scale
            return back

        return y, pull

    def _accumulate(self, grad_gamma: Array, grad_beta: Array) -> None:
        if self.weight is not None and self.bias is not None:
            self.weight.accumulate(grad_gamma)
            self.bias.accumulate(grad_beta)


@dataclass(eq=False)
class SpatialBatchNormalization(BatchNormalization):
    """BatchNormalization by plane.

    x: (N, n_output, H, W), or (N, H, W, n_output) with data_format 'NHWC' -> same shape.
    Source: BigDL's SpatialBatchNormalization; Ioffe and Szegedy 2015.
    """

    data_format: str = "NCHW"

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return self._planes(x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return self._planes(x, relu=True)

    def _planes(self, x: Array, relu: bool) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.data_format, self.n_output, self.label())
        y, pullback = self._normalise(layout.enter(x), relu)
        return layout.leave(y), lambda grad: layout.leave(pullback(layout.enter(grad)))


@dataclass(eq=False)
class LayerNormalization(Module):
    """y = (x - mean) / sqrt(var + 1e-6) * weight + bias over the last dimension.

    x: (..., hidden_size) -> same shape.
    Source: BigDL's LayerNormalization; Ba et al. 2016.
    """

    hidden_size: int
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter = field(init=False, repr=False)

    eps = 1e-6

    def __post_init__(self) -> None:
        self.weight = Parameter.create((self.hidden_size,), Ones(), (1, 1))
        self.bias = Parameter.create((self.hidden_size,), Zeros(), (1, 1))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y, saved = kernels.layer_norm(x, self.weight.value, self.bias.value, self.eps)

        def pull(grad: Array) -> Array:
            grad_x, grad_gamma, grad_beta = kernels.layer_norm_backward(grad, saved)
            self.weight.accumulate(grad_gamma)
            self.bias.accumulate(grad_beta)
            return grad_x

        return y, pull


@dataclass(eq=False)
class GroupNormalization(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, where mean and variance are those of a sample's group of
    planes.

    x: (N, n_output, ...) -> same shape; n_group groups of equally many planes, weight and bias (n_output,), which start
    at 1 and 0.
    Source: Wu and He 2018.

    Raises:
        ValueError: n_output is no multiple of n_group, or the input has another number of planes.
    """

    n_group: int
    n_output: int
    eps: float = 1e-5
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.n_group < 1 or self.n_output % self.n_group:
            raise ValueError(
                f"{self.label()}: got {self.n_output} planes in {self.n_group} groups, expected a multiple"
            )
        self.weight = Parameter.create((self.n_output,), Ones(), (1, 1))
        self.bias = Parameter.create((self.n_output,), Zeros(), (1, 1))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if x.ndim < 2 or x.shape[1] != self.n_output:
            raise ValueError(f"{self.label()}: got input {x.shape}, expected (N, {self.n_output}, ...)")
        unit, pull_unit = _standardised(x.reshape(len(x), self.n_group, prod(x.shape[1:]) // self.n_group), self.eps)
        shape = (self.n_output, *[1] * (x.ndim - 2))
        scale, shift = self.weight.value.reshape(shape), self.bias.value.reshape(shape)
        unit = unit.reshape(x.shape)

        def pull(grad: Array) -> Array:
            self.weight.accumulate(channel_sum(grad * unit))
            self.bias.accumulate(channel_sum(grad))
            grouped = (grad * scale).reshape(len(x), self.n_group, prod(x.shape[1:]) // self.n_group)
            return pull_unit(grouped).reshape(x.shape)

        return unit * scale + shift, pull


def _standardised(x: Array, eps: float) -> tuple[Array, Callable[[Array], Array]]:
    """(x - mean) / sqrt(var + eps) along the last axis."""
    inverse = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + float(eps))
    unit = (x - x.mean(axis=-1, keepdims=True)) * inverse

    def pull(grad: Array) -> Array:
        inner = (grad * unit).mean(axis=-1, keepdims=True)
        result: Array = (grad - grad.mean(axis=-1, keepdims=True) - unit * inner) * inverse
        return result

    return unit, pull


def normalise(x: Array, p: float, eps: float) -> tuple[Array, Pullback]:
    """x / (sum over axis 1 of |x|^p + eps)^(1/p), the maximum norm for p = inf; one axis 0 for 1-D input."""
    axis = min(1, x.ndim - 1)
    if p == 2.0:
        norm = np.sqrt(np.square(x).sum(axis=axis, keepdims=True) + float(eps))
        unit = x / norm
        return unit, lambda grad: (grad - unit * (grad * unit).sum(axis=axis, keepdims=True)) / norm
    if np.isinf(p):
        norm = np.abs(x).max(axis=axis, keepdims=True) + float(eps)
        slope = np.sign(x) * (np.abs(x) == norm - float(eps))
    else:
        norm = (np.power(np.abs(x), p).sum(axis=axis, keepdims=True) + float(eps)) ** float(1 / p)
        slope = np.sign(x) * np.power(np.abs(x) / norm, p - 1)
    return x / norm, lambda grad: grad / norm - slope * (grad * x).sum(axis=axis, keepdims=True) / np.square(norm)


@dataclass(eq=False)
class Normalize(Module):
    """Scale to Lp norm 1 along dimension 2 (the columns, or the planes at each position); p may be inf.

    x: (N, D) or (N, C, H, W) -> same shape.
    Source: BigDL's Normalize.
    """

    p: float
    eps: float = 1e-10

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return normalise(x, self.p, self.eps)


@dataclass(eq=False)
class NormalizeScale(Module):
    """Normalize, then a learned factor per plane that starts at `scale`: SSD's conv4_3_norm with scale 20.

    x: (N, C, H, W) -> same shape; size is the weight's shape, usually [1, C, 1, 1].
    Source: BigDL's NormalizeScale; Liu et al. 2015 (ParseNet).
    """

    p: float
    scale: float
    size: list[int]
    w_regularizer: L1L2Regularizer | None = None
    eps: float = 1e-10
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(self.size)
        self.weight = Parameter.create(shape, ConstInitMethod(self.scale), (1, 1), self.w_regularizer)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        unit, pullback = normalise(x, self.p, self.eps)

        def pull(grad: Array) -> Array:
            product = grad * unit
            is_per_plane = self.weight.value.shape == (1, x.shape[1], 1, 1)
            total = channel_sum(product) if is_per_plane else unbroadcast(product, self.weight.value.shape)
            self.weight.accumulate(total.reshape(self.weight.value.shape))
            back: Array = pullback(grad * self.weight.value)
            return back

        return unit * self.weight.value, pull


def _lrn(x: Array, sums: Callable[[Array], Array], share: float, beta: float, k: float) -> tuple[Array, Pullback]:
    """x (k + share sums(x^2))^-beta; `sums` adds neighbours and is its own transpose."""
    scale = float(k) + float(share) * sums(np.square(x))
    power = scale ** float(-beta)
    factor = float(2 * share * beta)
    return x * power, lambda grad: grad * power - factor * x * sums(grad * x * power / scale)


@dataclass(eq=False)
class SpatialCrossMapLRN(Module):
    """x (k + alpha / size * sum of x^2 over `size` neighbouring planes)^-beta.

    x: (N, C, H, W), or (N, H, W, C) for 'NHWC' -> same shape; `size` is odd.
    Source: BigDL's SpatialCrossMapLRN; Krizhevsky et al. 2012.
    """

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    data_format: str = "NCHW"

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ValueError(f"{self.label()}: got size {self.size}, expected an odd number of planes")

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.data_format, None, self.label())
        y, saved = kernels.lrn(layout.enter(x), self.size, self.alpha, self.beta, self.k)
        return layout.leave(y), lambda grad: layout.leave(kernels.lrn_backward(layout.enter(grad), saved))


@dataclass(eq=False)
class SpatialWithinChannelLRN(Module):
    """x (1 + alpha / size^2 * sum of x^2 over a size x size window)^-beta.

    x: (N, C, H, W) -> same shape; `size` is odd.
    Source: BigDL's SpatialWithinChannelLRN.
    """

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ValueError(f"{self.label()}: got size {self.size}, expected an odd window")

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, "NCHW", None, self.label())
        y, pullback = _lrn(layout.enter(x), self._sums, self.alpha / self.size**2, self.beta, 1.0)
        return layout.leave(y), lambda grad: layout.leave(pullback(layout.enter(grad)))

    def _sums(self, x: Array) -> Array:
        half = self.size // 2
        mean, _ = kernels.avg_pool(x, (self.size, self.size), (1, 1), (half, half, half, half), True)
        return mean * float(self.size**2)
