"""Layers that cut, pad and enlarge. x is (N, C, ...) for dim_ordering 'th' and (N, ..., C) for 'tf'; sequences are (N,
T, C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape
from dlcore.keras.named import chain
from dlcore.keras.planes import by_planes, first_spatial
from dlcore.nn.layers import resize
from dlcore.nn.layers.shape import Identity, Narrow, Padding
from dlcore.nn.module import Module

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

Pair = tuple[int, int]
Triple = tuple[int, int, int]


def _cropped(first: int, sides: Sequence[Sequence[int]]) -> Module:
    """Cut (before, after) off each dimension from `first` on, 1-based, the batch counted."""
    cuts = [Narrow(first + i, before + 1, -after - 1) for i, (before, after) in enumerate(sides) if before or after]
    return chain(*cuts) if cuts else Identity()


def _padded(first: int, ndim: int, sides: Sequence[Sequence[int]]) -> Module:
    """Zeros (before, after) at each dimension from `first` on, 1-based, the batch counted, of `ndim` without the
    batch."""
    pads = [(first - 1 + i, pad) for i, (before, after) in enumerate(sides) for pad in (-before, after) if pad]
    return chain(*(Padding(dim, pad, ndim) for dim, pad in pads)) if pads else Identity()


@keras_layer
class Cropping1D(KerasLayer):
    """Cut steps off both ends. x: (N, T, C) -> (N, T - before - after, C). Source: BigDL's and Keras's Cropping1D."""

    rank = 2
    cropping: Pair = (1, 1)

    def compose(self, shape: Shape) -> Module:
        return _cropped(2, [self.cropping])


@keras_layer
class Cropping2D(KerasLayer):
    """Cut ((top, bottom), (left, right)) off images.

    x: (N, C, H, W) -> (N, C, H - top - bottom, W - left - right). Source: BigDL's and Keras's Cropping2D.
    """

    rank = 3
    cropping: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return _cropped(first_spatial(self), self.cropping)


@keras_layer
class Cropping3D(KerasLayer):
    """Cut (before, after) off the three dimensions of volumes.

    x: (N, C, D1, D2, D3) -> (N, C, D1', D2', D3'). Source: BigDL's and Keras's Cropping3D.
    """

    rank = 4
    cropping: tuple[Pair, Pair, Pair] = ((1, 1), (1, 1), (1, 1))
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return _cropped(first_spatial(self), self.cropping)


@keras_layer
class ZeroPadding1D(KerasLayer):
    """Zeros before and after: `padding` steps each, or (before, after).

    x: (N, T, C) -> (N, before + T + after, C). Source: BigDL's and Keras's ZeroPadding1D.
    """

    rank = 2
    padding: Any = 1

    def compose(self, shape: Shape) -> Module:
        sides = (self.padding, self.padding) if isinstance(self.padding, int) else self.padding
        return _padded(2, 2, [sides])


@keras_layer
class ZeroPadding2D(KerasLayer):
    """Zeros around images: (rows, columns) on both sides, or (top, bottom, left, right).

    x: (N, C, H, W) -> (N, C, top + H + bottom, left + W + right). Source: BigDL's and Keras's ZeroPadding2D.
    """

    rank = 3
    padding: tuple[int, ...] = (1, 1)
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        given = tuple(self.padding)
        if len(given) not in (2, 4):
            raise ValueError(f"{self.label()}: got padding {given}, expected (rows, columns) or four numbers")
        sides = [(side, side) for side in given] if len(given) == 2 else [given[:2], given[2:]]
        return _padded(first_spatial(self), 3, sides)


@keras_layer
class ZeroPadding3D(KerasLayer):
    """Zeros on both sides of the three dimensions of volumes.

    x: (N, C, D1, D2, D3) -> (N, C, D1', D2', D3'). Source: BigDL's and Keras's ZeroPadding3D.
    """

    rank = 4
    padding: Triple = (1, 1, 1)
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return _padded(first_spatial(self), 4, [(side, side) for side in self.padding])


@keras_layer
class UpSampling1D(KerasLayer):
    """Each step `length` times. x: (N, T, C) -> (N, T length, C). Source: BigDL's and Keras's UpSampling1D."""

    rank = 2
    length: int = 2

    def compose(self, shape: Shape) -> Module:
        return resize.UpSampling1D(self.length)


@keras_layer
class UpSampling2D(KerasLayer):
    """Each row size[0] times and each column size[1] times.

    x: (N, C, H, W) -> (N, C, H size[0], W size[1]). Source: BigDL's and Keras's UpSampling2D.
    """

    rank = 3
    size: Pair = (2, 2)
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return by_planes(self, resize.UpSampling2D(list(self.size)), 2)


@keras_layer
class UpSampling3D(KerasLayer):
    """Each entry size[i] times along the three dimensions of volumes.

    x: (N, C, D1, D2, D3) -> (N, C, D1 size[0], D2 size[1], D3 size[2]). Source: BigDL's and Keras's UpSampling3D.
    """

    rank = 4
    size: Triple = (2, 2, 2)
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return by_planes(self, resize.UpSampling3D(list(self.size)), 3)
