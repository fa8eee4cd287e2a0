"""Layers that pad or crop images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layers.shape import picked
from dlcore.nn.layout import Layout
from dlcore.nn.module import Module

__all__ = ["Cropping2D", "Cropping3D", "SpatialZeroPadding"]


@dataclass(eq=False)
class SpatialZeroPadding(Module):
    """Add zeros around the image; negative numbers crop it.

    x: (N, C, H, W) or (C, H, W) -> (..., pad_top + H + pad_bottom, pad_left + W + pad_right).
    Source: BigDL's SpatialZeroPadding.
    """

    pad_left: int
    pad_right: int
    pad_top: int
    pad_bottom: int

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        height, width = x.shape[-2:]
        size = height + self.pad_top + self.pad_bottom, width + self.pad_left + self.pad_right
        y = np.zeros((*x.shape[:-2], *size), x.dtype)
        target = _overlap(y.shape[-2], self.pad_top, height), _overlap(y.shape[-1], self.pad_left, width)
        source = _overlap(height, -self.pad_top, y.shape[-2]), _overlap(width, -self.pad_left, y.shape[-1])
        y[..., target[0], target[1]] = x[..., source[0], source[1]]

        def pull(grad: Array) -> Array:
            back = np.zeros_like(x, grad.dtype)
            back[..., source[0], source[1]] = grad[..., target[0], target[1]]
            return back

        return y, pull


def _overlap(size: int, offset: int, other: int) -> slice:
    """Where a stretch of length `other` that starts at `offset` lies within `size` entries."""
    return slice(max(offset, 0), min(offset + other, size))


@dataclass(eq=False)
class Cropping2D(Module):
    """Cut rows (top, bottom) and columns (left, right) off the image.

    x: (N, C, H, W) -> (N, C, H - top - bottom, W - left - right), or (N, H, W, C) likewise for NHWC.
    Source: BigDL's Cropping2D.

    Raises:
        ValueError: nothing would be left.
    """

    heightCrop: list[int]
    widthCrop: list[int]
    data_format: str = "NCHW"

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _cropped(self, x, (self.heightCrop, self.widthCrop), self.data_format)


@dataclass(eq=False)
class Cropping3D(Module):
    """Cut entries (before, after) off each of the three dimensions of a volume.

    x: (N, C, T, H, W) -> (N, C, T - sum of dim1Crop, H - sum of dim2Crop, W - sum of dim3Crop), or (N, T, H, W, C)
    likewise for data_format 'channel_last'.
    Source: BigDL's Cropping3D.

    Raises:
        ValueError: nothing would be left, or the format is unknown.
    """

    dim1Crop: list[int]
    dim2Crop: list[int]
    dim3Crop: list[int]
    data_format: str = "channel_first"

    def __post_init__(self) -> None:
        if self.data_format not in ("channel_first", "channel_last"):
            raise ValueError(
                f"{self.label()}: got data_format {self.data_format!r}, expected 'channel_first' or 'channel_last'"
            )

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        data_format = "NCHW" if self.data_format == "channel_first" else "NHWC"
        return _cropped(self, x, (self.dim1Crop, self.dim2Crop, self.dim3Crop), data_format)


def _cropped(module: Module, x: Array, crops: Sequence[Sequence[int]], data_format: str) -> tuple[Array, Pullback]:
    layout = Layout.of(x, data_format, None, module.label(), len(crops))
    first = x.ndim - len(crops) - (1 if layout.is_nhwc else 0)
    sizes = x.shape[first : first + len(crops)]
    if any(before + after >= size for (before, after), size in zip(crops, sizes, strict=True)):
        raise ValueError(f"{module.label()}: got input {x.shape}, expected more than is cut off, {list(crops)}")
    inside = [slice(before, size - after) for (before, after), size in zip(crops, sizes, strict=True)]
    return picked(x, (*[slice(None)] * first, *inside))
