"""Convolutions. x is (N, C, ...) for dim_ordering 'th' and (N, ..., C) for 'tf'; sequences are (N, T, C).

border_mode 'same' keeps ceil(size / stride). Weights have nn's shapes: (out, in, *kernel).
"""

from __future__ import annotations

from typing import Any, ClassVar

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape, known, width
from dlcore.keras.named import Regularizer, activation_of, chain, start, start_weights
from dlcore.keras.planes import by_planes, is_last, padding, planes, spatial, weighted_image, weighted_sequence
from dlcore.nn.layers.border import SpatialZeroPadding
from dlcore.nn.layers.convolution import SpatialConvolution, SpatialDilatedConvolution
from dlcore.nn.layers.separable import SpatialSeparableConvolution
from dlcore.nn.layers.transposed import SpatialFullConvolution
from dlcore.nn.layers.volumetric import VolumetricConvolution
from dlcore.nn.layout import SAME, places, same_padding
from dlcore.nn.module import Module

__all__ = [
    "AtrousConvolution1D",
    "AtrousConvolution2D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    "Deconvolution2D",
    "SeparableConvolution2D",
]

Pair = tuple[int, int]


@keras_layer
class Convolution1D(KerasLayer):
    """Convolution along time. x: (N, T, C) -> (N, T', nb_filter). Source: BigDL's and Keras's Convolution1D."""

    rank = 2
    nb_filter: int
    filter_length: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample_length: int = 1
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        geometry = (1, self.filter_length, 1, self.subsample_length, 0, padding(self))
        return weighted_sequence(self, SpatialConvolution(width(self, shape), self.nb_filter, *geometry))


@keras_layer
class AtrousConvolution1D(KerasLayer):
    """Convolution along time whose taps are `atrous_rate` steps apart.

    x: (N, T, C) -> (N, T', nb_filter).
    Source: BigDL's and Keras's AtrousConvolution1D.
    """

    rank = 2
    nb_filter: int
    filter_length: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample_length: int = 1
    atrous_rate: int = 1
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        geometry = (1, self.filter_length, 1, self.subsample_length, 0, padding(self), 1, self.atrous_rate)
        return weighted_sequence(self, SpatialDilatedConvolution(width(self, shape), self.nb_filter, *geometry))


@keras_layer
class Convolution2D(KerasLayer):
    """Convolution over images. x: (N, C, H, W) -> (N, nb_filter, H', W'). Source: BigDL's and Keras's Convolution2D."""

    rank = 3
    nb_filter: int
    nb_row: int
    nb_col: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample: Pair = (1, 1)
    dim_ordering: str = "th"
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        geometry = (self.nb_col, self.nb_row, self.subsample[1], self.subsample[0], padding(self), padding(self))
        return weighted_image(self, SpatialConvolution(planes(self, shape), self.nb_filter, *geometry), shape)


@keras_layer
class AtrousConvolution2D(KerasLayer):
    """Convolution over images whose taps are `atrous_rate` (rows, columns) apart.

    x: (N, C, H, W) -> (N, nb_filter, H', W').
    Source: BigDL's and Keras's AtrousConvolution2D; Yu and Koltun 2016.
    """

    rank = 3
    nb_filter: int
    nb_row: int
    nb_col: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample: Pair = (1, 1)
    atrous_rate: Pair = (1, 1)
    dim_ordering: str = "th"
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        geometry = (self.nb_col, self.nb_row, self.subsample[1], self.subsample[0], padding(self), padding(self))
        apart = self.atrous_rate[1], self.atrous_rate[0]
        module = SpatialDilatedConvolution(planes(self, shape), self.nb_filter, *geometry, *apart)
        return weighted_image(self, module, shape)


@keras_layer
class Convolution3D(KerasLayer):
    """Convolution over volumes. x: (N, C, D1, D2, D3) -> (N, nb_filter, D1', D2', D3'). Source: BigDL's and Keras's
    Convolution3D."""

    rank = 4
    nb_filter: int
    kernel_dim1: int
    kernel_dim2: int
    kernel_dim3: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample: tuple[int, int, int] = (1, 1, 1)
    dim_ordering: str = "th"
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        (first, second, third), pad = self.subsample, padding(self)
        kernel = self.kernel_dim1, self.kernel_dim3, self.kernel_dim2
        geometry = (*kernel, first, third, second, pad, pad, pad)
        return weighted_image(self, VolumetricConvolution(planes(self, shape), self.nb_filter, *geometry), shape)


@keras_layer
class Deconvolution2D(KerasLayer):
    """Transposed convolution over images.

    x: (N, C, H, W) -> (N, nb_filter, H', W'), H' = (H - 1) subsample[0] + nb_row for 'valid', H subsample[0] for
    'same'.
    output_shape: (nb_filter, H', W') as BigDL has it, or (N, nb_filter, H', W') as Keras, or None; its last two sizes
    ('th') may say H' and W' larger, as far as a convolution of the same stride gives H and W back.
    Source: BigDL's and Keras's Deconvolution2D; Zeiler et al. 2010.

    Raises:
        ValueError: no such transposed convolution has this output.
    """

    rank = 3
    renamed: ClassVar = {"output_sizes": "output_shape"}
    nb_filter: int
    nb_row: int
    nb_col: int
    output_sizes: Any
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample: Pair = (1, 1)
    dim_ordering: str = "th"
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        (adj_h, top, bottom), (adj_w, left, right) = self._fitted(shape)
        geometry = (self.nb_col, self.nb_row, self.subsample[1], self.subsample[0], 0, 0, adj_w, adj_h)
        module = start_weights(self, SpatialFullConvolution(planes(self, shape), self.nb_filter, *geometry))
        cut = SpatialZeroPadding(-left, -right, -top, -bottom) if any((left, right, top, bottom)) else None
        return chain(by_planes(self, chain(module, cut), 2), activation_of(self.activation, 3))

    def _fitted(self, shape: Shape) -> list[tuple[int, int, int]]:
        """(rows to add, rows to cut before, after) the whole transposed convolution; then the same of columns."""
        sizes, wanted = spatial(self, shape), (None, None)
        if self.output_sizes is not None:
            of_sample = tuple(self.output_sizes)[-3:]
            wanted = of_sample[:2] if is_last(self) else of_sample[1:]
        each = zip(sizes, wanted, (self.nb_row, self.nb_col), self.subsample, strict=True)
        return [self._fitted_axis(*of_axis) for of_axis in each]

    def _fitted_axis(self, size: int | None, wanted: int | None, kernel: int, stride: int) -> tuple[int, int, int]:
        size = 1 if size is None and wanted is None else known(self, (size,))[0]  # the same for any size
        whole = (size - 1) * stride + kernel
        if padding(self) == SAME:
            given = size * stride if wanted is None else wanted
            fits, before = -(-given // stride) == size, same_padding(given, kernel, stride)[0]
        else:
            given = whole if wanted is None else wanted
            fits, before = places(given, kernel, stride) == size, 0
        if not fits:
            raise ValueError(
                f"{self.label()}: got output_shape {self.output_sizes} for inputs of size {size}, expected a size "
                f"from which a "
                f"convolution of kernel {kernel} and stride {stride} gives {size}; None takes the usual one"
            )
        added = max(given - whole, 0)
        return added, before, whole + added - before - given


@keras_layer
class SeparableConvolution2D(KerasLayer):
    """`depth_multiplier` filters for each plane alone, then a 1 x 1 convolution of their results.

    x: (N, C, H, W) -> (N, nb_filter, H', W').
    Source: BigDL's and Keras's SeparableConvolution2D; Chollet 2017.
    """

    rank = 3
    nb_filter: int
    nb_row: int
    nb_col: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample: Pair = (1, 1)
    depth_multiplier: int = 1
    dim_ordering: str = "th"
    depthwise_regularizer: Regularizer | None = None
    pointwise_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        pad = padding(self)
        geometry = (self.nb_col, self.nb_row, self.subsample[1], self.subsample[0], pad, pad, self.bias)
        module = SpatialSeparableConvolution(planes(self, shape), self.nb_filter, self.depth_multiplier, *geometry)
        start(module.depth_weight, self.init, self.depthwise_regularizer)
        start(module.weight, self.init, self.pointwise_regularizer)
        start(module.bias, "zero", self.b_regularizer)
        return chain(by_planes(self, module, 2), activation_of(self.activation, 3))
