"""Every operation in plain numpy: the specification that other backends are tested against. See `interface` for shapes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.kernels.interface import Gradients, Padding, Pair, Saved, Shape
from dlcore.kernels.memory import channels_last

_DENSE = (1, 1)


def _padded(x: Array, padding: Padding, value: float = 0.0) -> Array:
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _unpadded(x: Array, padding: Padding) -> Array:
    top, left, bottom, right = padding
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def output_size(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = _DENSE) -> Pair:
    """Height and width after a window slides over an image of `shape` (N, C, H, W).

    Raises:
        ValueError: the window is larger than the padded image.
    """
    top, left, bottom, right = padding
    rows, columns = shape[2] + top + bottom, shape[3] + left + right
    height = (rows - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    width = (columns - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    if height < 1 or width < 1:
        raise ValueError(
            f"got an image of {rows} x {columns} with padding, expected at least one window of {kernel} at dilation {dilation}"
        )
    return height, width


def _taps(
    padded: Array, size: Pair, kernel: Pair, stride: Pair, dilation: Pair = _DENSE
) -> Iterator[tuple[int, int, Array]]:
    """(i, j, what lies under weight (i, j) of all windows (N, C, H', W')), row by row; views that can be written to."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            bottom, right = top + (size[0] - 1) * stride[0] + 1, left + (size[1] - 1) * stride[1] + 1
            yield i, j, padded[:, :, top : bottom : stride[0], left : right : stride[1]]


def _grouped(x: Array, groups: int) -> Array:
    """(N, C, ...) -> (N, groups, C / groups, ...)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def conv2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int, relu: bool = False
) -> Array:
    """See `interface.Kernels.conv2d`."""
    kernel = (w.shape[2], w.shape[3])
    size = output_size(x.shape, kernel, stride, padding, dilation)
    weights = w.reshape(groups, -1, *w.shape[1:])
    sums = np.zeros((x.shape[0], groups, weights.shape[1], *size), np.float32)
    for i, j, pixels in _taps(_padded(x, padding), size, kernel, stride, dilation):
        sums += np.einsum("ngchw,gkc->ngkhw", _grouped(pixels, groups), weights[..., i, j], optimize=True)
    y: Array = sums.reshape(x.shape[0], w.shape[0], *size)
    if b is not None:
        y += b[:, None, None]
    return channels_last(np.maximum(y, 0) if relu else y)


def conv2d_grad_x(
    x_shape: Shape, w: Array, grad_y: Array, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """See `interface.Kernels.conv2d_grad_x`."""
    grad, weights = _grouped(grad_y, groups), w.reshape(groups, -1, *w.shape[1:])
    sums = _padded(np.zeros(x_shape, np.float32), padding)
    for i, j, part in _taps(sums, grad_y.shape[2:], (w.shape[2], w.shape[3]), stride, dilation):
        part[...] += np.einsum("ngkhw,gkc->ngchw", grad, weights[..., i, j], optimize=True).reshape(part.shape)
    return channels_last(_unpadded(sums, padding))


def conv2d_grad_w(
    x: Array,
    kernel: Pair,
    grad_y: Array,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    has_bias: bool = True,
) -> tuple[Array, Array | None]:
    """See `interface.Kernels.conv2d_grad_w`."""
    planes, planes_in = grad_y.shape[1], x.shape[1] // groups
    grad, grad_w = _grouped(grad_y, groups), np.empty((groups, planes // groups, planes_in, *kernel), np.float32)
    for i, j, pixels in _taps(_padded(x, padding), grad_y.shape[2:], kernel, stride, dilation):
        grad_w[..., i, j] = np.einsum("ngkhw,ngchw->gkc", grad, _grouped(pixels, groups), optimize=True)
    return grad_w.reshape(planes, planes_in, *kernel), grad_y.sum(axis=(0, 2, 3)) if has_bias else None


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, Saved]:
    """See `interface.Kernels.max_pool2d`."""
    size = output_size(x.shape, kernel, stride, padding)
    best = np.full((*x.shape[:2], *size), -np.inf, np.float32)
    winner = np.zeros(best.shape, np.int32)
    for i, j, pixels in _taps(_padded(x, padding, -np.inf), size, kernel, stride):
        is_better = pixels > best
        winner[is_better] = i * kernel[1] + j
        np.copyto(best, pixels, where=is_better)
    return channels_last(best), (x.shape, kernel, stride, padding, winner)


def max_pool2d_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.max_pool2d_backward`."""
    shape, kernel, stride, padding, winner = saved
    sums = _padded(np.zeros(shape, np.float32), padding)
    for i, j, part in _taps(sums, grad_y.shape[2:], kernel, stride):
        part[...] += grad_y * (winner == i * kernel[1] + j)
    return channels_last(_unpadded(sums, padding))


def _shares(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding, count_include_pad: bool) -> Array:
    """One over the divisor of each window, (1, 1, H', W')."""
    size = output_size(shape, kernel, stride, padding)
    if count_include_pad:
        return np.full((1, 1, *size), 1.0 / (kernel[0] * kernel[1]), np.float32)
    inside = _padded(np.ones((1, 1, *shape[2:]), np.float32), padding)
    counts = np.zeros((1, 1, *size), np.float32)
    for _, _, pixels in _taps(inside, size, kernel, stride):
        counts += pixels
    shares: Array = np.reciprocal(np.maximum(counts, 1))
    return shares


def avg_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Padding, count_include_pad: bool = True
) -> tuple[Array, Saved]:
    """See `interface.Kernels.avg_pool2d`."""
    shares = _shares(x.shape, kernel, stride, padding, count_include_pad)
    sums = np.zeros((*x.shape[:2], *shares.shape[2:]), np.float32)
    for _, _, pixels in _taps(_padded(x, padding), shares.shape[2:], kernel, stride):
        sums += pixels
    return channels_last(sums * shares), (x.shape, kernel, stride, padding, count_include_pad)


def avg_pool2d_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.avg_pool2d_backward`."""
    shape, kernel, stride, padding, _ = saved
    spread = grad_y * _shares(*saved)
    sums = _padded(np.zeros(shape, np.float32), padding)
    for _, _, part in _taps(sums, grad_y.shape[2:], kernel, stride):
        part[...] += spread
    return channels_last(_unpadded(sums, padding))


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


def softmax(x: Array, axis: int) -> Array:
    """See `interface.Kernels.softmax`."""
    if not x.size:
        return x.copy()
    exponentials: Array = np.exp(x - x.max(axis=axis, keepdims=True))
    exponentials /= exponentials.sum(axis=axis, keepdims=True)
    return exponentials


def relu(x: Array) -> Array:
    """See `interface.Kernels.relu`."""
    return np.maximum(x, np.float32(0))


def relu_backward(grad_y: Array, y: Array) -> Array:
    """See `interface.Kernels.relu_backward`."""
    return np.multiply(grad_y, y > 0)


def nms(boxes: Array, scores: Array, iou_threshold: float, top_k: int) -> NDArray[np.int64]:
    """See `interface.Kernels.nms`."""
    left = np.argsort(-scores, kind="stable")
    left = left if top_k <= 0 else left[:top_k]
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[iou(boxes[best, None], boxes[left])[0] <= np.float32(iou_threshold)]
    return np.array(kept, np.int64)


def hamming(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """See `interface.Kernels.hamming`."""
    distances = np.zeros((len(queries), len(codes)), np.uint16)
    for k in range(queries.shape[1]):
        distances += np.bitwise_count(queries[:, k, None] ^ codes[None, :, k])
    return distances
