"""Pooling. x is (N, C, ...) for dim_ordering 'th' and (N, ..., C) for 'tf'; sequences are (N, T, C).

border_mode 'same' keeps ceil(size / stride); a mean counts what lies inside the image alone.
"""

from __future__ import annotations

from typing import ClassVar

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape
from dlcore.keras.named import chain
from dlcore.keras.planes import along_time, by_planes, first_spatial, padding
from dlcore.nn.layers.pooling import SpatialAveragePooling, SpatialMaxPooling
from dlcore.nn.layers.reduction import Max, Mean
from dlcore.nn.layers.volumetric import VolumetricAveragePooling, VolumetricMaxPooling
from dlcore.nn.module import Module

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]

Pair = tuple[int, int]
Triple = tuple[int, int, int]


class _Pooling(KerasLayer):
    """What `is_max` makes: the maximum or the mean of each window."""

    is_max: ClassVar[bool] = True

    def pooled(self, size: Pair, strides: Pair, pad: Pair) -> Module:
        """Over (rows, columns)."""
        geometry = (size[1], size[0], strides[1], strides[0], pad[1], pad[0])
        if self.is_max:
            return SpatialMaxPooling(*geometry)
        return SpatialAveragePooling(*geometry, count_include_pad=False)

    def pooled_volume(self, size: Triple, strides: Triple, pad: int) -> Module:
        """Over volumes; nn takes depth, width, height."""
        geometry = (size[0], size[2], size[1], strides[0], strides[2], strides[1], pad, pad, pad)
        if self.is_max:
            return VolumetricMaxPooling(*geometry)
        return VolumetricAveragePooling(*geometry, count_include_pad=False)


@keras_layer
class _Pooling1D(_Pooling):
    rank = 2
    pool_length: int = 2
    stride: int | None = None
    border_mode: str = "valid"

    def compose(self, shape: Shape) -> Module:
        stride = self.pool_length if self.stride is None else self.stride
        return along_time(self.pooled((self.pool_length, 1), (stride, 1), (padding(self), 0)))


@keras_layer
class _Pooling2D(_Pooling):
    rank = 3
    pool_size: Pair = (2, 2)
    strides: Pair | None = None
    border_mode: str = "valid"
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        strides = self.pool_size if self.strides is None else self.strides
        return by_planes(self, self.pooled(self.pool_size, strides, (padding(self), padding(self))), 2)


@keras_layer
class _Pooling3D(_Pooling):
    rank = 4
    pool_size: Triple = (2, 2, 2)
    strides: Triple | None = None
    border_mode: str = "valid"
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        strides = self.pool_size if self.strides is None else self.strides
        return by_planes(self, self.pooled_volume(self.pool_size, strides, padding(self)), 3)


@keras_layer
class MaxPooling1D(_Pooling1D):
    """The maximum of `pool_length` steps. x: (N, T, C) -> (N, T', C). Source: BigDL's and Keras's MaxPooling1D."""


@keras_layer
class AveragePooling1D(_Pooling1D):
    """The mean of `pool_length` steps. x: (N, T, C) -> (N, T', C). Source: BigDL's and Keras's AveragePooling1D."""

    is_max = False


@keras_layer
class MaxPooling2D(_Pooling2D):
    """The maximum of each window. x: (N, C, H, W) -> (N, C, H', W'). Source: BigDL's and Keras's MaxPooling2D."""


@keras_layer
class AveragePooling2D(_Pooling2D):
    """The mean of each window. x: (N, C, H, W) -> (N, C, H', W'). Source: BigDL's and Keras's AveragePooling2D."""

    is_max = False


@keras_layer
class MaxPooling3D(_Pooling3D):
    """The maximum of each box. x: (N, C, D1, D2, D3) -> (N, C, D1', D2', D3'). Source: BigDL's and Keras's
    MaxPooling3D."""


@keras_layer
class AveragePooling3D(_Pooling3D):
    """The mean of each box. x: (N, C, D1, D2, D3) -> (N, C, D1', D2', D3'). Source: BigDL's and Keras's
    AveragePooling3D."""

    is_max = False


class _Global(KerasLayer):
    """The maximum or mean over all dimensions of an image, one after the other."""

    is_max: ClassVar[bool] = True

    def reduced(self, first: int, count: int) -> Module:
        """Over `count` dimensions from `first` on, 1-based, the batch counted."""
        return chain(*(Max(first) if self.is_max else Mean(first) for _ in range(count)))


@keras_layer
class _Global1D(_Global):
    rank = 2

    def compose(self, shape: Shape) -> Module:
        return self.reduced(2, 1)


@keras_layer
class _GlobalImage(_Global):
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return self.reduced(first_spatial(self), len(shape) - 1)


@keras_layer
class GlobalMaxPooling1D(_Global1D):
    """The maximum over time. x: (N, T, C) -> (N, C). Source: BigDL's and Keras's GlobalMaxPooling1D."""


@keras_layer
class GlobalAveragePooling1D(_Global1D):
    """The mean over time. x: (N, T, C) -> (N, C). Source: BigDL's and Keras's GlobalAveragePooling1D."""

    is_max = False


@keras_layer
class GlobalMaxPooling2D(_GlobalImage):
    """The maximum of each plane. x: (N, C, H, W) -> (N, C). Source: BigDL's and Keras's GlobalMaxPooling2D."""

    rank = 3


@keras_layer
class GlobalAveragePooling2D(_GlobalImage):
    """The mean of each plane. x: (N, C, H, W) -> (N, C). Source: BigDL's and Keras's GlobalAveragePooling2D."""

    rank, is_max = 3, False


@keras_layer
class GlobalMaxPooling3D(_GlobalImage):
    """The maximum of each plane. x: (N, C, D1, D2, D3) -> (N, C). Source: BigDL's and Keras's GlobalMaxPooling3D."""

    rank = 4


@keras_layer
class GlobalAveragePooling3D(_GlobalImage):
    """The mean of each plane. x: (N, C, D1, D2, D3) -> (N, C). Source: BigDL's and Keras's GlobalAveragePooling3D."""

    rank, is_max = 4, False
