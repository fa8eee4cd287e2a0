"""Pooling over images."""

from dataclasses import dataclass

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.layout import SAME, Layout, same_padding
from dlcore.nn.module import Module


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
    """A pooling geometry; pairs are (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    is_ceil: bool

    def fit(self, image: tuple[int, ...], label: str) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """For an image (height, width): (output size, (top, left, bottom, right)).

        Raises:
            ValueError: the input is smaller than the kernel, or the padding above half of it.
        """
        is_padded = self.pad != (0, 0) or 1 in self.kernel
        sizes = zip(image, self.kernel, self.stride, self.pad, strict=True)
        (rows, top, bottom), (columns, left, right) = (pooled_size(*each, self.is_ceil, is_padded) for each in sizes)
        if rows < 1 or columns < 1:
            raise ValueError(f"{label}: got input size {image}, expected at least the kernel, {self.kernel}")
        if any(2 * p > k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise ValueError(f"{label}: got padding {self.pad}, expected at most half of the kernel {self.kernel}")
        return (rows, columns), (top, left, bottom, right)


@dataclass(eq=False)
class SpatialMaxPooling(Module):
    """The maximum of each window; the gradient goes to the first maximum. pad -1 keeps ceil(size / stride).

    x: (N, C, H, W) -> (N, C, H', W'); `to_ceil` rounds sizes up.
    """

    kw: int
    kh: int
    dw: int = 0
    dh: int = 0
    pad_w: int = 0
    pad_h: int = 0
    to_ceil: bool = False
    format: str = "NCHW"

    def __post_init__(self) -> None:
        self.dw, self.dh = self.dw or self.kw, self.dh or self.kh
        self.window = PoolWindow((self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), self.to_ceil)

    def ceil(self) -> "SpatialMaxPooling":
        """Round sizes up."""
        self.to_ceil = True
        self.__post_init__()
        return self

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.format, None, self.label())
        entered = layout.enter(x)
        _, padding = self.window.fit(entered.shape[2:], self.label())
        y, saved = kernels.max_pool2d(entered, self.window.kernel, self.window.stride, padding)
        return layout.leave(y), lambda grad: layout.leave(kernels.max_pool2d_backward(layout.enter(grad), saved))


@dataclass(eq=False)
class SpatialAveragePooling(Module):
    """The mean of each window, or its sum with divide=False.

    x: (N, C, H, W) -> (N, C, H', W'); with `global_pooling` the window is the whole image: (N, C, 1, 1).
    `count_include_pad` divides by the window within the padded image, else by its part inside the image.
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
        entered = layout.enter(x)
        if self.global_pooling:
            return self._apply_global(entered, layout)
        window = PoolWindow((self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), self.ceil_mode)
        size, padding = window.fit(entered.shape[2:], self.label())
        scale = self._scale(entered.shape[2:], size, padding)
        geometry = (window.kernel, window.stride, padding, True)
        y, saved = kernels.avg_pool2d(entered, *geometry)

        def pull(grad: Array) -> Array:
            scaled = layout.enter(grad) if scale is None else layout.enter(grad) * scale
            return layout.leave(kernels.avg_pool2d_backward(scaled, saved))

        return layout.leave(y if scale is None else y * scale), pull

    def _apply_global(self, x: Array, layout: Layout) -> tuple[Array, Pullback]:
        share = np.float32(1.0 / (x.shape[2] * x.shape[3]) if self.divide else 1.0)
        y = x.sum(axis=(2, 3), keepdims=True) * share

        def pull(grad: Array) -> Array:
            n, channels, height, width = x.shape
            spread = np.empty((n, height, width, channels), np.float32)
            spread[...] = (layout.enter(grad) * share).transpose(0, 2, 3, 1)
            return layout.leave(spread.transpose(0, 3, 1, 2))

        return layout.leave(y), pull

    def _scale(self, image: tuple[int, ...], size: tuple[int, int], padding: tuple[int, int, int, int]) -> Array | None:
        """(H', W') what to multiply the mean over the whole kernel with, or None where that is right as it is."""
        area = float(self.kh * self.kw)
        if not self.divide:
            return np.full(size, area, np.float32)
        top, left, bottom, right = padding
        ends = (min(bottom, max(self.pad_h, 0)), min(right, max(self.pad_w, 0)))
        if SAME in (self.pad_h, self.pad_w):
            ends = (bottom, right)
        rows = self._counted(image[0], size[0], self.kh, self.dh, (top, ends[0]))
        columns = self._counted(image[1], size[1], self.kw, self.dw, (left, ends[1]))
        counts = np.outer(rows, columns)
        return None if (counts == area).all() else (area / counts).astype(np.float32)

    def _counted(self, image: int, count: int, kernel: int, stride: int, pad: tuple[int, int]) -> Array:
        """(count,) how many positions of each window are counted along one dimension."""
        start = np.arange(count) * stride - pad[0]
        before, after = pad if self.count_include_pad else (0, 0)
        counted: Array = np.minimum(start + kernel, image + after) - np.maximum(start, -before)
        return counted


@dataclass(eq=False)
class TemporalMaxPooling(Module):
    """The maximum of k_w steps, every d_w steps (k_w when -1): (N, T, C) or (T, C) -> (N, T', C) or (T', C)."""

    k_w: int
    d_w: int = -1

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        steps, stride = x.shape[-2], self.k_w if self.d_w == -1 else self.d_w
        if steps < self.k_w:
            raise ValueError(f"{self.label()}: got {steps} steps, expected at least {self.k_w}")
        image = x.reshape(-1, steps, 1, x.shape[-1]).transpose(0, 3, 1, 2)
        y, saved = kernels.max_pool2d(image, (self.k_w, 1), (stride, 1), (0, 0, 0, 0))

        def pull(grad: Array) -> Array:
            back = kernels.max_pool2d_backward(grad.reshape(-1, y.shape[2], 1, y.shape[1]).transpose(0, 3, 1, 2), saved)
            return back.transpose(0, 2, 3, 1).reshape(x.shape)

        return y.transpose(0, 2, 3, 1).reshape(*x.shape[:-2], y.shape[2], x.shape[-1]), pull
