"""The gradient of the weights of a depthwise convolution by the native kernels; oneDNN's is slow for kernels above
3x3."""

from __future__ import annotations

import ctypes

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.interface import Padding, Sizes
from dlcore.kernels.memory import channels_last
from dlcore.kernels.native_library import instruction_set, is_available, library

KERNELS = (5, 7)
"""The sides of kernels for which this is faster than oneDNN."""


class _Shape(ctypes.Structure):
    """`DepthwiseShape` of depthwise.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("images", "height", "width", "channels", "out_height", "out_width"),
            *("kernel", "stride", "pad_top", "pad_left"),
        )
    ]


def suits(
    x: Array, kernel: Sizes, grad_y: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> bool:
    """Whether the gradient is that of a depthwise convolution that this kernel handles."""
    if x.ndim != 4 or not x.size or not is_available() or instruction_set() == "portable":
        return False
    is_square = len(set(kernel)) == len(set(stride)) == 1 and kernel[0] in KERNELS and set(dilation) == {1}
    return is_square and groups == x.shape[1] == grad_y.shape[1] and min(padding) >= 0


def grad_w(x: Array, kernel: Sizes, grad_y: Array, stride: Sizes, padding: Padding) -> Array:
    """The gradient (C, 1, kernel, kernel) from x (N, C, H, W) and grad_y (N, C, H', W'). On one thread."""
    rows, grads = (channels_last(part).transpose(0, 2, 3, 1) for part in (x, grad_y))
    shape = _Shape(*rows.shape, *grads.shape[1:3], kernel[0], stride[0], *padding[:2])
    found = np.empty((*kernel, x.shape[1]), np.float32)
    addresses = (part.ctypes.data for part in (rows, grads, found))
    library().dlcore_depthwise_gradient(ctypes.addressof(shape), *addresses)
    return np.ascontiguousarray(found.transpose(2, 0, 1))[:, None]
