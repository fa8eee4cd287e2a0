"""Kernels by oneDNN: convolution, pooling, matrix products, batch normalisation with ReLU.

Primitives are compiled once per shape and geometry and kept, the latest 512 of each kind. Convolution and pooling know
images of 1 to 3 spatial dimensions. Empty arrays go to `reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.kernels import cpu, reference
from dlcore.kernels import onednn_api as api
from dlcore.kernels.interface import Padding, Saved, Shape, Sizes
from dlcore.kernels.matrix_products import MatrixProducts, Operand
from dlcore.kernels.memory import channels_last, contiguous, empty, empty_channels_last
from dlcore.kernels.onednn_api import KEPT, Attributes, Description, Layout, Primitive, address, library
from dlcore.kernels.onednn_convolution import conv, conv_grad_w, conv_grad_x
from dlcore.kernels.onednn_recurrent import gru, gru_backward, lstm, lstm_backward
from dlcore.kernels.reference import output_size

__all__ = [
    "avg_pool",
    "avg_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "conv",
    "conv_grad_w",
    "conv_grad_x",
    "gru",
    "gru_backward",
    "library",
    "linear",
    "linear_backward",
    "lstm",
    "lstm_backward",
    "matmul",
    "max_pool",
    "max_pool_backward",
]

RANKS = (1, 2, 3)


def _knows(x: Array, *_arguments: Any, **_options: Any) -> bool:
    return x.ndim - 2 in RANKS


def _knows_gradient(x_shape: Shape, *_arguments: Any, **_options: Any) -> bool:
    return len(x_shape) - 2 in RANKS


SUITS = {
    **dict.fromkeys(("conv", "conv_grad_w", "max_pool", "avg_pool"), _knows),
    "conv_grad_x": _knows_gradient,
}
"""Which arguments oneDNN takes; other images go to the next backend."""

# --- pooling ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pooling:
    forward: Primitive
    backward: Primitive
    y_shape: Shape
    workspace_bytes: int


@lru_cache(KEPT)
def _pooling(x_shape: Shape, kernel: Sizes, stride: Sizes, padding: Padding, algorithm: int) -> _Pooling:
    y_shape = (*x_shape[:2], *output_size(x_shape, kernel, stride, padding))
    x, y = Layout.channels_last(x_shape), Layout.channels_last(y_shape)
    rank = len(kernel)
    window = (stride, kernel, (0,) * rank, padding[:rank], padding[rank:])
    forward = Description(
        "pooling_forward", api.engine(), api.FORWARD_TRAINING, algorithm, x, y, *window, Attributes(False)
    )
    backward = Description("pooling_backward", api.engine(), algorithm, x, y, *window, forward, None)
    to_y, to_x = {api.SRC: x, api.DST: y}, {api.DIFF_DST: y, api.DIFF_SRC: x}
    workspace = forward.layout("workspace") if algorithm == api.POOLING_MAX else None
    if workspace is not None:
        to_y[api.WORKSPACE] = to_x[api.WORKSPACE] = workspace
    size = 0 if workspace is None else workspace.size_bytes
    return _Pooling(Primitive(forward, to_y), Primitive(backward, to_x), y_shape, size)


def max_pool(x: Array, kernel: Sizes, stride: Sizes, padding: Padding) -> tuple[Array, Saved]:
    """See `interface.Kernels.max_pool`."""
    if not x.size:
        return reference.max_pool(x, kernel, stride, padding)[0], (None, x.shape, None)
    pooling = _pooling(x.shape, kernel, stride, padding, api.POOLING_MAX)
    x, y, winners = channels_last(x), empty_channels_last(pooling.y_shape), np.empty(pooling.workspace_bytes, np.uint8)
    pooling.forward(address(x), address(y), address(winners))
    return y, (pooling, x.shape, winners)


def max_pool_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.max_pool_backward`."""
    pooling, x_shape, winners = saved
    grad_y, grad_x = channels_last(grad_y), empty_channels_last(x_shape)
    if not grad_x.size:
        return grad_x
    pooling.backward(address(grad_y), address(grad_x), address(winners))
    return grad_x


def avg_pool(
    x: Array, kernel: Sizes, stride: Sizes, padding: Padding, count_include_pad: bool = True
) -> tuple[Array, Saved]:
    """See `interface.Kernels.avg_pool`."""
    if not x.size:
        return reference.avg_pool(x, kernel, stride, padding)[0], (None, x.shape)
    algorithm = api.POOLING_AVERAGE_WITH_PADDING if count_include_pad else api.POOLING_AVERAGE_WITHOUT_PADDING
    pooling = _pooling(x.shape, kernel, stride, padding, algorithm)
    x, y = channels_last(x), empty_channels_last(pooling.y_shape)
    pooling.forward(address(x), address(y))
    return y, (pooling, x.shape)


def avg_pool_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.avg_pool_backward`."""
    pooling, x_shape = saved
    grad_y, grad_x = channels_last(grad_y), empty_channels_last(x_shape)
    if not grad_x.size:
        return grad_x
    pooling.backward(address(grad_y), address(grad_x))
    return grad_x


# --- matrix products --------------------------------------------------------------------------------------------------


def _sgemm(a: Operand, b: Operand, sizes: tuple[int, int, int], start: float, y: Operand) -> None:
    orders = (b"T" if operand.is_transposed else b"N" for operand in (a, b))
    operands = (a.address, a.step, b.address, b.step)
    cpu.ask_openmp()
    api.check(library().dnnl_sgemm(*orders, *sizes, 1.0, *operands, start, y.address, y.step), "sgemm")


_products = MatrixProducts(_sgemm)
linear, linear_backward, matmul = _products.linear, _products.linear_backward, _products.matmul


# --- batch normalisation ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _BatchNorm:
    forward: Primitive
    backward: Primitive
    workspace_bytes: int


@lru_cache(KEPT)
def _batch_norm(x_shape: Shape, eps: float, relu: bool) -> _BatchNorm:
    x, planes = Layout.channels_last(x_shape), Layout.plain(x_shape[1:2])
    flags = api.USE_SCALE | api.USE_SHIFT | (api.FUSE_RELU if relu else 0)
    forward = Description(
        "batch_normalization_forward", api.engine(), api.FORWARD_TRAINING, x, x, float(eps), flags, Attributes(False)
    )
    backward = Description(
        "batch_normalization_backward", api.engine(), api.BACKWARD, x, x, x, float(eps), flags, forward, None
    )
    statistics = {api.MEAN: planes, api.VARIANCE: planes, api.SCALE: planes}
    outputs = {api.DIFF_SRC: x, api.DIFF_SCALE: planes, api.DIFF_SHIFT: planes}
    to_y = {api.SRC: x, **statistics, api.SHIFT: planes, api.DST: x}
    to_x = {api.SRC: x, **statistics, api.DIFF_DST: x, **outputs}
    workspace = forward.layout("workspace") if relu else None
    if workspace is not None:
        to_y[api.WORKSPACE] = to_x[api.WORKSPACE] = workspace
    size = 0 if workspace is None else workspace.size_bytes
    return _BatchNorm(Primitive(forward, to_y), Primitive(backward, to_x), size)


def _as_image(x: Array) -> Array:
    """(N, C, ...) as (N, C, H, W) in channels-last memory."""
    if x.ndim == 4:
        return channels_last(x)
    return channels_last(x.reshape(*x.shape[:2], -1, 1))


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
) -> tuple[Array, Array, Array, Saved]:
    """See `interface.Kernels.batch_norm`."""
    if not x.size:
        *results, kept = reference.batch_norm(x, gamma, beta, eps, relu)
        return (*results, (None, kept))  # type: ignore[return-value]
    image, planes = _as_image(x), x.shape[1:2]
    norm = _batch_norm(image.shape, eps, relu)
    y, mean, var = empty_channels_last(image.shape), empty(planes), empty(planes)
    gamma, beta, positive = contiguous(gamma), contiguous(beta), np.empty(norm.workspace_bytes, np.uint8)
    given = [address(part) for part in (image, mean, var, gamma, beta, y)]
    norm.forward(*given, *([address(positive)] if relu else []))
    return y.reshape(x.shape), mean, var, (norm, image, mean, var, gamma.copy(), positive)


def batch_norm_backward(grad_y: Array, saved: Saved) -> tuple[Array, Array, Array]:
    """See `interface.Kernels.batch_norm_backward`."""
    if saved[0] is None:
        return reference.batch_norm_backward(grad_y, saved[1])
    norm, image, mean, var, gamma, positive = saved
    grad = _as_image(grad_y)
    grad_x, grad_gamma, grad_beta = empty_channels_last(image.shape), empty(gamma.shape), empty(gamma.shape)
    given = [address(part) for part in (image, mean, var, gamma, grad, grad_x, grad_gamma, grad_beta)]
    norm.backward(*given, *([address(positive)] if positive.size else []))
    return grad_x.reshape(grad_y.shape), grad_gamma, grad_beta
