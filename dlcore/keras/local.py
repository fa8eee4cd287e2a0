"""Convolutions with weights of their own at each place, on inputs of one size."""

from __future__ import annotations

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape, known
from dlcore.keras.named import Regularizer
from dlcore.keras.planes import padding, planes, spatial, weighted_image, weighted_sequence
from dlcore.nn.layers import local
from dlcore.nn.layers.border import SpatialZeroPadding
from dlcore.nn.layout import SAME, same_padding
from dlcore.nn.module import Module

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]

Pair = tuple[int, int]


@keras_layer
class LocallyConnected1D(KerasLayer):
    """A convolution along time whose weights differ from step to step.

    x: (N, T, C) -> (N, T', nb_filter); weight (T', nb_filter, C filter_length), a plane's taps one after the other.
    Source: BigDL's and Keras's LocallyConnected1D.

    Raises:
        ValueError: border_mode is not 'valid'.
    """

    rank = 2
    nb_filter: int
    filter_length: int
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample_length: int = 1
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        if padding(self) == SAME:
            raise ValueError(f"{self.label()}: got border_mode 'same', expected 'valid'; put a ZeroPadding1D before it")
        steps, features = known(self, shape)
        geometry = (1, self.filter_length, 1, self.subsample_length)
        return weighted_sequence(self, local.LocallyConnected2D(features, 1, steps, self.nb_filter, *geometry))


@keras_layer
class LocallyConnected2D(KerasLayer):
    """A 2-D convolution whose weights differ from place to place.

    x: (N, C, H, W), or (N, H, W, C) for 'tf' -> (N, nb_filter, H', W'); weight (H' W', nb_filter, C nb_row nb_col).
    Source: BigDL's and Keras's LocallyConnected2D.
    """

    rank = 3
    nb_filter: int
    nb_row: int
    nb_col: int
    activation: str | Module | None = None
    border_mode: str = "valid"
    subsample: Pair = (1, 1)
    dim_ordering: str = "th"
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True

    def compose(self, shape: Shape) -> Module:
        height, width = known(self, spatial(self, shape))
        (top, bottom), (left, right) = (0, 0), (0, 0)
        if padding(self) == SAME:
            top, bottom = same_padding(height, self.nb_row, self.subsample[0])
            left, right = same_padding(width, self.nb_col, self.subsample[1])
        size = left + width + right, top + height + bottom
        geometry = (self.nb_col, self.nb_row, self.subsample[1], self.subsample[0])
        module = local.LocallyConnected2D(planes(self, shape), *size, self.nb_filter, *geometry)
        pad = SpatialZeroPadding(left, right, top, bottom) if any((left, right, top, bottom)) else None
        return weighted_image(self, module, shape, pad)
