"""Every operation in plain numpy: the specification that other backends are tested against. See `interface` for shapes.

Convolution and pooling take images of any rank, and floats of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.kernels.interface import (
    Buckets,
    Codes,
    Distances,
    Gradients,
    Masks,
    Padding,
    Saved,
    Shape,
    Sizes,
    distance_type,
)
from dlcore.kernels.reference_recurrent import gru, gru_backward, lstm, lstm_backward
from dlcore.kernels.reference_training import (
    adam,
    add_rows,
    bernoulli,
    layer_norm,
    layer_norm_backward,
    log_softmax,
    log_softmax_backward,
    lrn,
    lrn_backward,
    masked,
    relu,
    relu_backward,
    rmsprop,
    sgd,
    softmax,
    softmax_backward,
)

__all__ = [
    "adam",
    "add_rows",
    "bernoulli",
    "gru",
    "gru_backward",
    "layer_norm",
    "layer_norm_backward",
    "log_softmax",
    "log_softmax_backward",
    "lrn",
    "lrn_backward",
    "lstm",
    "lstm_backward",
    "masked",
    "relu",
    "relu_backward",
    "rmsprop",
    "sgd",
    "softmax",
    "softmax_backward",
]


def _padded(x: Array, padding: Padding, value: float = 0.0) -> Array:
    rank = x.ndim - 2
    return np.pad(x, [(0, 0), (0, 0), *zip(padding[:rank], padding[rank:], strict=True)], constant_values=value)


def _unpadded(x: Array, padding: Padding) -> Array:
    rank = x.ndim - 2
    ends = zip(x.shape[2:], padding[:rank], padding[rank:], strict=True)
    return x[:, :, *(slice(before, size - after) for size, before, after in ends)]


def _channels_last(x: Array) -> Array:
    """As `memory.channels_last`, whatever the type of the numbers."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def output_size(shape: Shape, kernel: Sizes, stride: Sizes, padding: Padding, dilation: Sizes | None = None) -> Sizes:
    """The spatial sizes after a window slides over an image of `shape` (N, C, ...).

    Raises:
        ValueError: the window is larger than the padded image, or the geometry is of another rank than the image.
    """
    rank, dilation = len(shape) - 2, dilation or (1,) * len(kernel)
    if (len(kernel), len(stride), len(dilation), len(padding)) != (rank, rank, rank, 2 * rank):
        raise ValueError(
            f"got an image {shape} with kernel {kernel}, stride {stride}, dilation {dilation}, padding {padding}, "
            f"expected {rank} sizes each and {2 * rank} of padding"
        )
    padded = [sum(sides) for sides in zip(shape[2:], padding[:rank], padding[rank:], strict=True)]
    each = zip(padded, kernel, stride, dilation, strict=True)
    size = tuple((side - d * (k - 1) - 1) // s + 1 for side, k, s, d in each)
    if min(size, default=1) < 1:
        raise ValueError(
            f"got an image of {padded} with padding, expected at least one window of {kernel} at dilation {dilation}"
        )
    return size


def _taps(
    padded: Array, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes | None = None
) -> Iterator[tuple[Sizes, Array]]:
    """(place, what lies under the weight at that place of all windows (N, C, ...)), row by row; views one can write
    to."""
    dilation = dilation or (1,) * len(kernel)
    for place in np.ndindex(*kernel):
        each = zip(place, dilation, size, stride, strict=True)
        yield place, padded[:, :, *(slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, n, s in each)]


def _grouped(x: Array, groups: int) -> Array:
    """(N, C, ...) -> (N, groups, C / groups, ...)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _tap(weights: Array, place: Sizes) -> Array:
    """What `weights` (..., *kernel) holds at one place of the kernel, a view."""
    index: Any = (..., *place)
    held: Array = weights[index]
    return held


def _by_group(x: Array, groups: int) -> Array:
    """(N, C, ...) -> (N, groups, C / groups, pixels)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, math.prod(x.shape[2:]))


def conv(
    x: Array,
    w: Array,
    b: Array | None,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    relu: bool = False,
) -> Array:
    """See `interface.Kernels.conv`."""
    kernel = w.shape[2:]
    size = output_size(x.shape, kernel, stride, padding, dilation)
    weights = w.reshape(groups, -1, *w.shape[1:])
    sums = np.zeros((x.shape[0], groups, weights.shape[1], *size), x.dtype)
    for place, pixels in _taps(_padded(x, padding), size, kernel, stride, dilation):
        sums += np.einsum("ngc...,gkc->ngk...", _grouped(pixels, groups), _tap(weights, place), optimize=True)
    y: Array = sums.reshape(x.shape[0], w.shape[0], *size)
    if b is not None:
        y += b.reshape(-1, *[1] * len(size))
    return _channels_last(np.maximum(y, 0) if relu else y)


def conv_grad_x(
    x_shape: Shape, w: Array, grad_y: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> Array:
    """See `interface.Kernels.conv_grad_x`."""
    grad, weights = _grouped(grad_y, groups), w.reshape(groups, -1, *w.shape[1:])
    sums = _padded(np.zeros(x_shape, grad_y.dtype), padding)
    for place, part in _taps(sums, grad_y.shape[2:], w.shape[2:], stride, dilation):
        spread = np.einsum("ngk...,gkc->ngc...", grad, _tap(weights, place), optimize=True)
        part[...] += spread.reshape(part.shape)
    return _channels_last(_unpadded(sums, padding))


def conv_grad_w(
    x: Array,
    kernel: Sizes,
    grad_y: Array,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    has_bias: bool = True,
) -> tuple[Array, Array | None]:
    """See `interface.Kernels.conv_grad_w`."""
    planes, planes_in = grad_y.shape[1], x.shape[1] // groups
    grad, grad_w = _by_group(grad_y, groups), np.empty((groups, planes // groups, planes_in, *kernel), x.dtype)
    for place, pixels in _taps(_padded(x, padding), grad_y.shape[2:], kernel, stride, dilation):
        _tap(grad_w, place)[...] = np.einsum("ngkp,ngcp->gkc", grad, _by_group(pixels, groups), optimize=True)
    grad_b = grad_y.sum(axis=(0, *range(2, grad_y.ndim))) if has_bias else None
    return grad_w.reshape(planes, planes_in, *kernel), grad_b


def max_pool(x: Array, kernel: Sizes, stride: Sizes, padding: Padding) -> tuple[Array, Saved]:
    """See `interface.Kernels.max_pool`."""
    size = output_size(x.shape, kernel, stride, padding)
    best = np.full((*x.shape[:2], *size), -np.inf, x.dtype)
    winner = np.zeros(best.shape, np.int32)
    for number, (_, pixels) in enumerate(_taps(_padded(x, padding, -np.inf), size, kernel, stride)):
        is_better = pixels > best
        winner[is_better] = number
        np.copyto(best, pixels, where=is_better)
    return _channels_last(best), (x.shape, kernel, stride, padding, winner)


def max_pool_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.max_pool_backward`."""
    shape, kernel, stride, padding, winner = saved
    sums = _padded(np.zeros(shape, grad_y.dtype), padding)
    for number, (_, part) in enumerate(_taps(sums, grad_y.shape[2:], kernel, stride)):
        part[...] += grad_y * (winner == number)
    return _channels_last(_unpadded(sums, padding))


def _divisors(shape: Shape, kernel: Sizes, stride: Sizes, padding: Padding, count_include_pad: bool) -> Array:
    """The divisor of the sum over each window, (1, 1, ...)."""
    size = output_size(shape, kernel, stride, padding)
    if count_include_pad:
        return np.full((1, 1, *size), math.prod(kernel), np.float32)
    counts = np.zeros((1, 1, *size), np.float32)
    for _, pixels in _taps(_padded(np.ones((1, 1, *shape[2:]), np.float32), padding), size, kernel, stride):
        counts += pixels
    return np.maximum(counts, 1)


def avg_pool(
    x: Array, kernel: Sizes, stride: Sizes, padding: Padding, count_include_pad: bool = True
) -> tuple[Array, Saved]:
    """See `interface.Kernels.avg_pool`."""
    divisors = _divisors(x.shape, kernel, stride, padding, count_include_pad)
    sums = np.zeros((*x.shape[:2], *divisors.shape[2:]), x.dtype)
    for _, pixels in _taps(_padded(x, padding), divisors.shape[2:], kernel, stride):
        sums += pixels
    return _channels_last(np.divide(sums, divisors)), (x.shape, kernel, stride, padding, count_include_pad)


def avg_pool_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.avg_pool_backward`."""
    shape, kernel, stride, padding, _ = saved
    spread = grad_y / _divisors(*saved)
    sums = _padded(np.zeros(shape, grad_y.dtype), padding)
    for _, part in _taps(sums, grad_y.shape[2:], kernel, stride):
        part[...] += spread
    return _channels_last(_unpadded(sums, padding))


def linear(x: Array, w: Array, b: Array | None, relu: bool = False) -> Array:
    """See `interface.Kernels.linear`."""
    y = x @ w.T
    if b is not None:
        y += b
    return np.maximum(y, 0, out=y) if relu else y


def linear_backward(
    x: Array, w: Array, grad_y: Array, need_x: bool = True, need_w: bool = True, has_bias: bool = True
) -> Gradients:
    """See `interface.Kernels.linear_backward`."""
    return (
        grad_y @ w if need_x else None,
        grad_y.T @ x if need_w else None,
        grad_y.sum(axis=0) if need_w and has_bias else None,
    )


def matmul(a: Array, b: Array) -> Array:
    """See `interface.Kernels.matmul`."""
    product: Array = np.matmul(a, b)
    return product


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
) -> tuple[Array, Array, Array, Saved]:
    """See `interface.Kernels.batch_norm`."""
    rows = np.moveaxis(x, 1, -1)
    axes = tuple(range(rows.ndim - 1))
    mean = rows.mean(axis=axes)
    centred = rows - mean
    var = np.square(centred).mean(axis=axes)
    y = centred * (gamma / np.sqrt(var + np.float32(eps))) + beta
    if relu:
        np.maximum(y, 0, out=y)
    return np.moveaxis(y, -1, 1), mean, var, (centred, var + np.float32(eps), gamma, y if relu else None)


def batch_norm_backward(grad_y: Array, saved: Saved) -> tuple[Array, Array, Array]:
    """See `interface.Kernels.batch_norm_backward`."""
    centred, var, gamma, rectified = saved
    grad = np.moveaxis(grad_y, 1, -1)
    if rectified is not None:
        grad = grad * (rectified > 0)
    axes = tuple(range(grad.ndim - 1))
    normalised = centred / np.sqrt(var)
    grad_beta, grad_gamma = grad.sum(axis=axes), (grad * normalised).sum(axis=axes)
    count = np.float32(grad.size / max(len(gamma), 1))
    grad_x = (grad - grad_beta / count - normalised * (grad_gamma / count)) * (gamma / np.sqrt(var))
    return np.moveaxis(grad_x, -1, 1), grad_gamma, grad_beta


def best_first(boxes: Array, scores: Array, top_k: int) -> NDArray[np.int64]:
    """Indices of the boxes that take part in `nms`, in its order.

    Raises:
        ValueError: not every box has four numbers and a score.
    """
    if scores.ndim != 1 or boxes.shape != (len(scores), 4):
        raise ValueError(f"nms: got boxes {boxes.shape} and scores {scores.shape}, expected (N, 4) and (N,)")
    order: NDArray[np.int64] = np.argsort(-scores.astype(np.float64), kind="stable")
    return order if top_k <= 0 else order[:top_k]


def nms(boxes: Array, scores: Array, iou_threshold: float, top_k: int) -> NDArray[np.int64]:
    """See `interface.Kernels.nms`."""
    left = best_first(boxes, scores, top_k)
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[iou(boxes[best, None], boxes[left])[0] <= np.float32(iou_threshold)]
    return np.array(kept, np.int64)


def hamming(queries: Codes, codes: Codes) -> Distances:
    """See `interface.Kernels.hamming`."""
    distances: Distances = np.zeros((len(queries), len(codes)), distance_type(queries.shape[1]))
    for k in range(queries.shape[1]):
        distances += np.bitwise_count(queries[:, k, None] ^ codes[None, :, k])
    return distances


def hamming_top_k(queries: Codes, parts: Sequence[Codes], k: int) -> tuple[NDArray[np.int64], Distances]:
    """See `interface.Kernels.hamming_top_k`."""
    indices: NDArray[np.int64] = np.empty((len(queries), 0), np.int64)
    distances, first = hamming(queries, queries[:0]), 0
    for codes in (part[start : start + _CODES] for part in parts for start in range(0, len(part), _CODES)):
        apart = hamming(queries, codes)
        rows = np.broadcast_to(np.arange(first, first + len(codes)), apart.shape)
        first += len(codes)
        indices, distances = np.hstack([indices, rows]), np.hstack([distances, apart])
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        indices, distances = np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)
    return indices, distances


def hamming_within(queries: Codes, codes: Codes, radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Distances]:
    """See `interface.Kernels.hamming_within`."""
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), hamming(queries[:0], codes[:0]).ravel())]
    for start in range(0, len(codes), _CODES):
        apart = hamming(queries, codes[start : start + _CODES])
        i, j = np.nonzero(apart <= radius)
        found.append((i, j + start, apart[i, j]))
    i, j, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(i, kind="stable")
    return i[order], j[order], distances[order]


def hamming_in_buckets(
    first: Buckets, second: Buckets | None, flips: NDArray[np.int64], radius: int, window: Masks, earlier: Masks
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Distances]]:
    """See `interface.Kernels.hamming_in_buckets`."""
    codes, starts = first
    others, other_starts = second or first
    for bucket, flip in product(range(len(starts) - 1), flips.tolist()):
        rows, columns = starts[bucket], other_starts[bucket ^ flip]
        queries, near = codes[rows : starts[bucket + 1]], others[columns : other_starts[(bucket ^ flip) + 1]]
        i, j, apart = hamming_within(queries, near, radius)
        differing = queries[i] ^ near[j]
        new = np.bitwise_count(differing & window[0]).sum(axis=1) <= window[1]
        if second is None:
            new &= i + rows < j + columns
        for masks, limits in zip(*earlier, strict=True):
            new &= (np.bitwise_count(differing[:, None] & masks).sum(axis=2) > limits).any(axis=1)
        yield i[new] + rows, j[new] + columns, apart[new]


_CODES = 4096  # of which all distances are held at once
