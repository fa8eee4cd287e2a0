"""Layers that disturb their input in training only, and keep its mean."""

from __future__ import annotations

from dataclasses import dataclass

from dlcore.activity import Array, Pullback, float_type
from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape
from dlcore.keras.planes import is_last
from dlcore.nn.layers import dropout
from dlcore.nn.module import Module
from dlcore.rng import RNG

__all__ = [
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


@dataclass(eq=False)
class PlaneDropout(Module):
    """Drop whole planes, or whole features of all steps, with probability p, and scale the rest by 1 / (1 - p).

    x: (N, C, ...), or (N, ..., C) with channels_last -> same shape. Unlike nn's SpatialDropout it scales in training.
    """

    p: float
    channels_last: bool

    def __post_init__(self) -> None:
        if not 0.0 <= self.p < 1.0:
            raise ValueError(f"{self.label()}: got probability {self.p}, expected 0 <= p < 1")

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return x, lambda grad: grad
        ones = [1] * (x.ndim - 2)
        shape = (len(x), *ones, x.shape[-1]) if self.channels_last else (*x.shape[:2], *ones)
        mask = RNG.bernoulli(1.0 - self.p, shape) * float_type(x).type(1.0 / (1.0 - self.p))
        return x * mask, lambda grad: grad * mask


@keras_layer
class Dropout(KerasLayer):
    """Zero each element with probability p and scale the rest by 1 / (1 - p).

    x: any shape -> same shape. Source: BigDL's and Keras's Dropout; Srivastava et al. 2014.
    """

    p: float

    def compose(self, shape: Shape) -> Module:
        return dropout.Dropout(self.p)


@keras_layer
class SpatialDropout1D(KerasLayer):
    """Drop whole features, all steps of them, and scale the rest. x: (N, T, C) -> same shape. Source: Keras's
    SpatialDropout1D."""

    rank = 2
    p: float = 0.5

    def compose(self, shape: Shape) -> Module:
        return PlaneDropout(self.p, True)


@keras_layer
class _SpatialDropout(KerasLayer):
    p: float = 0.5
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        return PlaneDropout(self.p, is_last(self))


@keras_layer
class SpatialDropout2D(_SpatialDropout):
    """Drop whole planes and scale the rest. x: (N, C, H, W) -> same shape. Source: Keras's SpatialDropout2D."""

    rank = 3


@keras_layer
class SpatialDropout3D(_SpatialDropout):
    """Drop whole planes and scale the rest. x: (N, C, D1, D2, D3) -> same shape. Source: Keras's SpatialDropout3D."""

    rank = 4


@keras_layer
class GaussianDropout(KerasLayer):
    """Multiply by normal noise of mean 1 and deviation sqrt(p / (1 - p)).

    x: any shape -> same shape. Source: BigDL's and Keras's GaussianDropout; Srivastava et al. 2014.
    """

    p: float

    def compose(self, shape: Shape) -> Module:
        return dropout.GaussianDropout(self.p)


@keras_layer
class GaussianNoise(KerasLayer):
    """Add normal noise of mean 0 and deviation sigma. x: any shape -> same shape. Source: BigDL's and Keras's
    GaussianNoise."""

    sigma: float

    def compose(self, shape: Shape) -> Module:
        return dropout.GaussianNoise(self.sigma)
