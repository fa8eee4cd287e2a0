"""Layers that enlarge sequences, images and volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layout import Layout, unbroadcast
from dlcore.nn.module import Module

__all__ = ["ExpandSize", "ResizeBilinear", "UpSampling1D", "UpSampling2D", "UpSampling3D"]


def _repeated(x: Array, factors: dict[int, int]) -> tuple[Array, Pullback]:
    """Each entry `factors[axis]` times along each axis."""
    y = x
    for axis, factor in factors.items():
        y = np.repeat(y, factor, axis=axis)

    def pull(grad: Array) -> Array:
        for axis, factor in factors.items():
            split = (*grad.shape[:axis], grad.shape[axis] // factor, factor, *grad.shape[axis + 1 :])
            grad = grad.reshape(split).sum(axis=axis + 1)
        return grad

    return y, pull


@dataclass(eq=False)
class UpSampling1D(Module):
    """Repeat each step `length` times. x: (N, T, C) -> (N, T length, C). Source: BigDL's UpSampling1D."""

    length: int

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _repeated(x, {1: self.length})


@dataclass(eq=False)
class UpSampling2D(Module):
    """Repeat each row size[0] times and each column size[1] times.

    x: (N, C, H, W) -> (N, C, H size[0], W size[1]), or (N, H, W, C) likewise for 'nhwc'.
    Source: BigDL's UpSampling2D.
    """

    size: list[int]
    data_format: str = "nchw"

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.data_format, None, self.label())
        y, pullback = _repeated(layout.enter(x), {2: self.size[0], 3: self.size[1]})
        return layout.leave(y), lambda grad: layout.leave(pullback(layout.enter(grad)))


@dataclass(eq=False)
class UpSampling3D(Module):
    """Repeat each entry size[i] times along the last three dimensions.

    x: (N, C, D, H, W) -> (N, C, D size[0], H size[1], W size[2]).
    Source: BigDL's UpSampling3D.
    """

    size: list[int]

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _repeated(x, {2 + i: factor for i, factor in enumerate(self.size)})


def _weights(count: int, size: int, align_corner: bool) -> Array:
    """(count, size) the linear interpolation of `size` points at `count` places."""
    scale = (size - 1) / (count - 1) if align_corner and count > 1 else size / count
    place = np.arange(count) * scale
    low = np.minimum(place.astype(np.intp), size - 1)
    share = (place - low).astype(np.float32)
    weights = np.zeros((count, size), np.float32)
    weights[np.arange(count), low] += 1 - share
    weights[np.arange(count), np.minimum(low + 1, size - 1)] += share
    return weights


@dataclass(eq=False)
class ResizeBilinear(Module):
    """Bilinear interpolation to output_height x output_width, as TensorFlow 1 places the pixels.

    x: (N, C, H, W) -> (N, C, output_height, output_width), or (N, H, W, C) likewise for 'NHWC'.
    With align_corner the corners of both images coincide.
    Source: BigDL's ResizeBilinear.
    """

    output_height: int
    output_width: int
    align_corner: bool = False
    data_format: str = "NCHW"

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.data_format, None, self.label())
        entered = layout.enter(x)
        rows = _weights(self.output_height, entered.shape[2], self.align_corner)
        columns = _weights(self.output_width, entered.shape[3], self.align_corner)
        y = rows @ (entered @ columns.T)
        return layout.leave(y), lambda grad: layout.leave(rows.T @ (layout.enter(grad) @ columns))


@dataclass(eq=False)
class ExpandSize(Module):
    """Repeat along dimensions of size 1.

    x: any shape -> `sizes`, where -1 leaves a size as it is.
    Source: BigDL's ExpandSize.

    Raises:
        ValueError: another number of dimensions, or a size that is neither 1 nor the wanted one.
    """

    sizes: list[int]

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if len(self.sizes) != x.ndim:
            raise ValueError(f"{self.label()}: got input {x.shape}, expected {len(self.sizes)} dimensions")
        for have, want in zip(x.shape, self.sizes, strict=True):
            if have != 1 and want not in (have, -1):
                raise ValueError(f"{self.label()}: got size {have}, expected 1 or {want}")
        shape = tuple(have if want == -1 else want for have, want in zip(x.shape, self.sizes, strict=True))
        return np.broadcast_to(x, shape), lambda grad: unbroadcast(grad, x.shape)
