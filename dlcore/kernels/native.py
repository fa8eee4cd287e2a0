"""Kernels of our own in C++: Winograd convolution and non-maximum suppression here, Hamming searches in
`native_search`, what training does beside convolutions in `native_training` and `native_rows`.

They are built at first use (see `native_build`); if that fails, `is_available()` is False and other backends serve.
`python -m dlcore.kernels.native build` builds them ahead. native/README.md has how they work, and their figures.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.kernels import native_depthwise, native_rows, native_search, native_training
from dlcore.kernels.cpu import threads
from dlcore.kernels.interface import Padding, Shape, Sizes
from dlcore.kernels.memory import channels_last, empty
from dlcore.kernels.native_build import NativeUnavailableError, build
from dlcore.kernels.native_library import instruction_set, is_available, library, limit_instruction_set
from dlcore.kernels.native_rows import (
    layer_norm,
    layer_norm_backward,
    log_softmax,
    log_softmax_backward,
    lrn,
    lrn_backward,
    softmax,
    softmax_backward,
)
from dlcore.kernels.native_search import hamming, hamming_in_buckets, hamming_top_k, hamming_within
from dlcore.kernels.native_training import adam, add_rows, bernoulli, masked, relu, relu_backward, rmsprop, sgd
from dlcore.kernels.prepared import prepared
from dlcore.kernels.reference import best_first

__all__ = [
    "adam",
    "add_rows",
    "bernoulli",
    "hamming",
    "hamming_in_buckets",
    "hamming_top_k",
    "hamming_within",
    "instruction_set",
    "is_available",
    "layer_norm",
    "layer_norm_backward",
    "library",
    "limit_instruction_set",
    "log_softmax",
    "log_softmax_backward",
    "lrn",
    "lrn_backward",
    "masked",
    "relu",
    "relu_backward",
    "rmsprop",
    "sgd",
    "softmax",
    "softmax_backward",
]

POOLS = {"none": 0, "floor": 1, "ceil": 2}


class _ConvShape(ctypes.Structure):
    """`ConvShape` of winograd.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("images", "height", "width", "in_channels", "out_channels", "out_height", "out_width"),
            *("pad_top", "pad_left", "dilation", "relu", "pool", "threads", "block"),
        )
    ]


class _ConvArrays(ctypes.Structure):
    """`ConvArrays` of winograd.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("x", "weights", "bias", "residual", "y", "workspace")]


# --- Winograd ---------------------------------------------------------------------------------------------------------


def has_winograd() -> bool:
    """Whether this machine runs the Winograd convolution, which needs x86 with at least AVX2."""
    return is_available() and instruction_set() != "portable"


def winograd_suits(
    weight_shape: Sequence[int], stride: Sequence[int], padding: Padding, dilation: Sequence[int], groups: int
) -> bool:
    """Whether Winograd computes a convolution faster than directly: 3x3, stride 1, enough channels."""
    planes, planes_in, *kernel = weight_shape
    is_square = (*kernel, *stride) == (3, 3, 1, 1) and dilation[0] == dilation[1] and groups == 1
    return is_square and min(padding) >= 0 and planes_in >= 16 and planes >= 16


@dataclass(frozen=True)
class WinogradWeights:
    """Weights (K, C, 3, 3) transformed and laid out for this machine's instruction set; four times their size."""

    prepared: Array
    in_channels: int
    out_channels: int

    @classmethod
    def prepare(cls, w: Array) -> WinogradWeights:
        """Transform weights (K, C, 3, 3)."""
        planes, planes_in = w.shape[:2]
        size = library().dlcore_winograd_weights_size(planes_in, planes)

        def transformed() -> Array:
            given, found = np.ascontiguousarray(w, np.float32), empty((size,))
            library().dlcore_winograd_prepare(given.ctypes.data, found.ctypes.data, planes, planes_in)
            return found

        return cls(prepared(size, transformed), planes_in, planes)


class WinogradConvolution:
    """One convolution of a fixed shape with its arrays bound: call it to compute `y` from what is in `x`.

    x (N, H, W, C), y (N, H', W', K) and residual (like y) are contiguous channels-last arrays; residual is added before
    the ReLU. pool: "none", or "floor" or "ceil" for maxima of 2x2 with stride 2 after the ReLU; y is then pooled. The
    result does not depend on `threads`, and that of an image does not depend on other images.
    """

    def __init__(
        self,
        x: Array,
        weights: WinogradWeights,
        bias: Array,
        y: Array,
        padding: Padding,
        *,
        dilation: int = 1,
        relu: bool = False,
        pool: str = "none",
        residual: Array | None = None,
        threads: int = 1,
        block: int = 0,
    ) -> None:
        images, height, width, _ = x.shape
        top, left, bottom, right = padding
        reach = 2 * dilation
        self._shape = _ConvShape(
            images, height, width, weights.in_channels, weights.out_channels,
            height + top + bottom - reach, width + left + right - reach,
            top, left, dilation, relu, POOLS[pool], threads, block,
        )  # fmt: skip
        self._check(x, y, residual)
        self.pixels: int = images * self._shape.out_height * self._shape.out_width
        self.workspace_size: int = library().dlcore_winograd_workspace_size(ctypes.addressof(self._shape))
        self._arrays = _ConvArrays(
            x.ctypes.data,
            weights.prepared.ctypes.data,
            bias.ctypes.data,
            None if residual is None else residual.ctypes.data,
            y.ctypes.data,
            None,
        )
        self._kept = (x, weights, bias, residual, y)
        self._run = library().dlcore_winograd_forward
        self._addresses = ctypes.addressof(self._shape), ctypes.addressof(self._arrays)

    def _check(self, x: Array, y: Array, residual: Array | None) -> None:
        s = self._shape
        extra = 1 if s.pool == POOLS["ceil"] else 0
        size = (s.out_height, s.out_width)
        pooled = size if s.pool == POOLS["none"] else tuple((side + extra) // 2 for side in size)
        expected = {"x": (s.images, s.height, s.width, s.in_channels), "y": (s.images, *pooled, s.out_channels)}
        for name, array in (("x", x), ("y", y)):
            if array.shape != expected[name] or not array.flags.c_contiguous:
                raise ValueError(f"winograd: got {name} of shape {array.shape}, expected a contiguous {expected[name]}")
        if residual is not None and (s.pool or residual.shape != y.shape or not residual.flags.c_contiguous):
            raise ValueError(f"winograd: got residual {residual.shape}, expected a contiguous {y.shape} and no pooling")

    def use_workspace(self, workspace: Array) -> None:
        """Scratch memory of at least `workspace_size` floats; many convolutions may share it, one after the other."""
        self._arrays.workspace = workspace.ctypes.data
        self._workspace = workspace

    def __call__(self) -> None:
        """Compute y."""
        self._run(*self._addresses)


def winograd(x: Array, w: Array, b: Array | None, padding: Padding, dilation: int, relu: bool, threads: int) -> Array:
    """A single convolution: x (N, C, H, W), w (K, C, 3, 3) -> y (N, K, H', W'), channels-last in memory."""
    top, left, bottom, right = padding
    height, width = x.shape[2] + top + bottom - 2 * dilation, x.shape[3] + left + right - 2 * dilation
    y = np.empty((len(x), height, width, len(w)), np.float32)
    if y.size:
        bias = np.zeros(len(w), np.float32) if b is None else np.ascontiguousarray(b, np.float32)
        run = WinogradConvolution(
            channels_last(x).transpose(0, 2, 3, 1),
            WinogradWeights.prepare(w),
            bias,
            y,
            padding,
            dilation=dilation,
            relu=relu,
            threads=threads,
        )
        run.use_workspace(empty((run.workspace_size,)))
        run()
    return y.transpose(0, 3, 1, 2)


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
    """See `interface.Kernels.conv`; where SUITS holds."""
    return winograd(x, w, b, padding, dilation[0], relu, threads())


def conv_grad_x(
    x_shape: Shape, w: Array, grad_y: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> Array:
    """See `interface.Kernels.conv_grad_x`; where SUITS holds. A convolution of `grad_y` with the weights turned
    round."""
    turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return winograd(grad_y, turned, None, _padding_back(padding, dilation), dilation[0], False, threads())


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
    """See `interface.Kernels.conv_grad_w`; where SUITS holds. On one thread."""
    if groups > 1:
        grad_b = grad_y.sum(axis=(0, 2, 3)) if has_bias else None
        return native_depthwise.grad_w(x, kernel, grad_y, stride, padding), grad_b
    rows, grads = (channels_last(part).transpose(0, 2, 3, 1) for part in (x, grad_y))
    (images, height, width, planes_in), (_, out_height, out_width, planes) = rows.shape, grads.shape
    sizes = (images, height, width, planes_in, planes, out_height, out_width)
    shape = _ConvShape(*sizes, padding[0], padding[1], dilation[0], 0, POOLS["none"], 1, 0)
    workspace = empty((library().dlcore_winograd_gradient_workspace_size(ctypes.addressof(shape)),))
    grad_w = empty((planes, planes_in, *kernel))
    arrays = _ConvArrays(rows.ctypes.data, None, None, None, grads.ctypes.data, workspace.ctypes.data)
    run = library().dlcore_winograd_weight_gradient
    run(ctypes.addressof(shape), ctypes.addressof(arrays), grad_w.ctypes.data)
    return grad_w, grads.reshape(-1, planes).sum(axis=0) if has_bias else None


def _padding_back(padding: Padding, dilation: Sizes) -> Padding:
    return tuple(2 * dilation[0] - side for side in padding)


def _suits_forward(
    x: Array,
    w: Array,
    b: Array | None,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    relu: bool = False,
) -> bool:
    return (
        has_winograd()
        and _pixels(x.shape) >= _ENOUGH_PIXELS
        and winograd_suits(w.shape, stride, padding, dilation, groups)
    )


def _suits_grad_x(
    x_shape: Shape, w: Array, grad_y: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> bool:
    back = _padding_back(padding, dilation)
    is_enough = _pixels(x_shape) >= _ENOUGH_PIXELS and min(padding) >= 0
    return has_winograd() and is_enough and winograd_suits(w.shape, stride, back, dilation, groups)


def _suits_grad_w(
    x: Array,
    kernel: Sizes,
    grad_y: Array,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    has_bias: bool = True,
) -> bool:
    if groups > 1:
        return native_depthwise.suits(x, kernel, grad_y, stride, padding, dilation, groups)
    is_enough = has_winograd() and _pixels(x.shape) >= _ENOUGH_PIXELS
    return is_enough and winograd_suits((grad_y.shape[1], x.shape[1], *kernel), stride, padding, dilation, groups)


def _pixels(shape: Shape) -> int:
    return shape[0] * math.prod(shape[2:])


_ENOUGH_PIXELS = 512  # below, preparing the weights costs more than it saves
SUITS = {
    "conv": _suits_forward,
    "conv_grad_x": _suits_grad_x,
    "conv_grad_w": _suits_grad_w,
    **native_rows.SUITS,
    **native_search.SUITS,
    **native_training.SUITS,
}
"""Operation -> when `auto` prefers it to the other backends."""


# --- boxes ------------------------------------------------------------------------------------------------------------


def nms(boxes: Array, scores: Array, iou_threshold: float, top_k: int) -> np.ndarray:
    """Indices of kept boxes, best first: see `reference.nms`."""
    order = best_first(boxes, scores, top_k)
    given = np.ascontiguousarray(boxes, np.float32)
    kept = np.empty(len(order), np.int64)
    count = library().dlcore_nms(given.ctypes.data, order.ctypes.data, len(order), iou_threshold, kept.ctypes.data)
    return kept[:count]


def main(arguments: Sequence[str]) -> int:
    """`build`: compile the library unless it exists, and print its path."""
    if list(arguments) != ["build"]:
        print("usage: python -m dlcore.kernels.native build", file=sys.stderr)
        return 2
    try:
        print(f"{build()} ({instruction_set()})")
    except NativeUnavailableError as error:
        print(f"native kernels cannot be built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
