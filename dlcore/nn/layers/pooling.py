"""Pooling over images and sequences, and what pooling of any rank shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.kernels import Padding, Sizes
from dlcore.nn.layout import SAME, Layout, same_padding
from dlcore.nn.module import Module
from dlcore.nn.shapes import blank

__all__ = ["SpatialAveragePooling", "SpatialMaxPooling", "TemporalMaxPooling"]


def pooled_size(size: int, kernel: int, stride: int, pad: int, is_ceil: bool, is_padded: bool) -> tuple[int, int, int]:
    """(output size, padding before, padding after) of one dimension, by BigDL's rule.

    A last window that would start beyond the input and its left padding is dropped where any dimension is padded.
    """
    if pad == SAME:
        before, _ = same_padding(size, kernel, stride)
        count = -(-size // stride)
    else:
        before, room = pad, size + 2 * pad - kernel
        count = (-(-room // stride) if is_ceil else room // stride) + 1
        if is_padded and (count - 1) * stride >= size + pad:
            count -= 1
    return count, before, max((count - 1) * stride + kernel - size - before, 0)


@dataclass(frozen=True)
class PoolWindow:
    """A pooling geometry, one number for each spatial dimension, (height, width) for images."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    is_ceil: bool

    def fit(self, image: Sizes, label: str) -> tuple[Sizes, Padding]:
        """For an image of these sizes: the output's, and the padding, (top, left, bottom, right) in two dimensions.

        Raises:
            ValueError: the input is smaller than the kernel, or the padding above half of it.
        """
        is_padded = any(self.pad) or 1 in self.kernel
        sizes = zip(image, self.kernel, self.stride, self.pad, strict=True)
        fitted = [pooled_size(*each, self.is_ceil, is_padded) for each in sizes]
        counts, before, after = (tuple(column) for column in zip(*fitted, strict=True))
        if min(counts) < 1:
            raise ValueError(f"{label}: got input size {image}, expected at least the kernel, {self.kernel}")
        if any(2 * p > k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise ValueError(f"{label}: got padding {self.pad}, expected at most half of the kernel {self.kernel}")
        return counts, before + after

    def counted(self, image: Sizes, padding: Padding, size: Sizes, count_include_pad: bool) -> Array:
        """(*size,) how many positions of each window a mean counts; `padding` and `size` are what `fit` gives.

        With `count_include_pad` those inside the padded image, whose end is no further than `pad`, else those inside
        the image.
        """
        rank, is_same = len(self.kernel), SAME in self.pad
        ends = [after if is_same else min(after, p) for after, p in zip(padding[rank:], self.pad, strict=True)]
        sides = []
        each = zip(image, self.kernel, self.stride, size, padding[:rank], ends, strict=True)
        for side, kernel, stride, count, *pads in each:
            before, after = pads if count_include_pad else (0, 0)
            start = np.arange(count) * stride - pads[0]
            sides.append(np.minimum(start + kernel, side + after) - np.maximum(start, -before))
        counts: Array = reduce(np.multiply.outer, sides)
        return counts

    def maximum(self, x: Array, layout: Layout, label: str) -> tuple[Array, Pullback]:
        """The maximum of each window of `x`, which `layout` describes."""
        entered = layout.enter(x)
        _, padding = self.fit(entered.shape[2:], label)
        y, saved = kernels.max_pool(entered, self.kernel, self.stride, padding)
        return layout.leave(y), lambda grad: layout.leave(kernels.max_pool_backward(layout.enter(grad), saved))

    def mean(
        self, x: Array, layout: Layout, label: str, count_include_pad: bool, divide: bool = True
    ) -> tuple[Array, Pullback]:
        """The mean, or the sum, of each window of `x`, which `layout` describes."""
        entered = layout.enter(x)
        size, padding = self.fit(entered.shape[2:], label)
        area = math.prod(self.kernel)
        counts = self.counted(entered.shape[2:], padding, size, count_include_pad) if divide else np.ones(size)
        scale = None if (counts == area).all() else (area / np.maximum(counts, 1)).astype(np.float32)
        y, saved = kernels.avg_pool(entered, self.kernel, self.stride, padding, True)

        def pull(grad: Array) -> Array:
            scaled = layout.enter(grad) if scale is None else layout.enter(grad) * scale
            return layout.leave(kernels.avg_pool_backward(scaled, saved))

        return layout.leave(y if scale is None else y * scale), pull


@dataclass(eq=False)
class SpatialMaxPooling(Module):
    """The maximum of each window; the gradient goes to the first maximum. pad -1 keeps ceil(size / stride).

    x: (N, C, H, W) -> (N, C, H', W'); `to_ceil` rounds sizes up.
    Source: BigDL's SpatialMaxPooling.

    Raises:
        ValueError: a step below 1.
    """

    kw: int
    kh: int
    dw: int = 1
    dh: int = 1
    pad_w: int = 0
    pad_h: int = 0
    to_ceil: bool = False
    format: str = "NCHW"

    def __post_init__(self) -> None:
        if min(self.dw, self.dh) < 1:
            raise ValueError(f"{self.label()}: got steps dw={self.dw}, dh={self.dh}, expected 1 or more")
        self.window = PoolWindow((self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), self.to_ceil)

    def ceil(self) -> SpatialMaxPooling:
        """Round sizes up."""
        self.to_ceil = True
        self.__post_init__()
        return self

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return self.window.maximum(x, Layout.of(x, self.format, None, self.label()), self.label())

    def outline(self, x: Array) -> Array:
        layout = Layout.of(x, self.format, None, self.label())
        n, planes, *image = layout.enter(x).shape
        size, _ = self.window.fit(tuple(image), self.label())
        return layout.leave(blank((n, planes, *size)))


@dataclass(eq=False)
class SpatialAveragePooling(Module):
    """The mean of each window, or its sum with divide=False.

    x: (N, C, H, W) -> (N, C, H', W'); with `global_pooling` the window is the whole image: (N, C, 1, 1).
    `count_include_pad` divides by the window within the padded image, else by its part inside the image.
    Source: BigDL's SpatialAveragePooling.
    """

    kw: int
    kh: int
    dw: int = 1
    dh: int = 1
    pad_w: int = 0
    pad_h: int = 0
    global_pooling: bool = False
    ceil_mode: bool = False
    count_include_pad: bool = True
    divide: bool = True
    format: str = "NCHW"

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.format, None, self.label())
        if self.global_pooling:
            return self._apply_global(layout.enter(x), layout)
        window = PoolWindow((self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), self.ceil_mode)
        return window.mean(x, layout, self.label(), self.count_include_pad, self.divide)

    def _apply_global(self, x: Array, layout: Layout) -> tuple[Array, Pullback]:
        share = float(1.0 / (x.shape[2] * x.shape[3]) if self.divide else 1.0)
        y = x.sum(axis=(2, 3), keepdims=True) * share

        def pull(grad: Array) -> Array:
            n, channels, height, width = x.shape
            spread = np.empty((n, height, width, channels), grad.dtype)
            spread[...] = (layout.enter(grad) * share).transpose(0, 2, 3, 1)
            return layout.leave(spread.transpose(0, 3, 1, 2))

        return layout.leave(y), pull


@dataclass(eq=False)
class TemporalMaxPooling(Module):
    """The maximum of each window of k_w steps; windows start every d_w steps (every k_w if d_w is -1).

    x: (N, T, C) or (T, C) -> (N, T', C) or (T', C), T' = (T - k_w) // d_w + 1.
    Source: BigDL's TemporalMaxPooling.
    """

    k_w: int
    d_w: int = -1

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        steps, stride = x.shape[-2], self.k_w if self.d_w == -1 else self.d_w
        if steps < self.k_w:
            raise ValueError(f"{self.label()}: got {steps} steps, expected at least {self.k_w}")
        layout = Layout.of(x, "NHWC", None, self.label(), 1)
        return PoolWindow((self.k_w,), (stride,), (0,), False).maximum(x, layout, self.label())
