"""Layers that drop parts of their input, or add noise to it, in training only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback, float_type
from dlcore.nn.layout import Layout
from dlcore.nn.module import Module
from dlcore.rng import RNG

__all__ = ["Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]


def _multiplied(x: Array, factor: Array | np.floating[Any]) -> tuple[Array, Pullback]:
    return x * factor, lambda grad: grad * factor


def _unchanged(x: Array) -> tuple[Array, Pullback]:
    return x, lambda grad: grad


def check_probability(value: float, label: str) -> None:
    """Raise ValueError unless `value` is a probability to drop, of [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{label}: got probability {value}, expected 0 <= p < 1")


@dataclass(eq=False)
class Dropout(Module):
    """Zero each element with probability `init_p` and scale the rest by 1 / (1 - p); identity in evaluation.

    x: any shape -> same shape.
    With scale=False nothing is scaled in training and evaluation multiplies by 1 - p.
    Source: BigDL's Dropout; Srivastava et al. 2014.
    """

    init_p: float = 0.5
    inplace: bool = False
    scale: bool = True

    def __post_init__(self) -> None:
        check_probability(self.init_p, self.label())

    def set_p(self, p: float) -> Dropout:
        """Change the probability."""
        check_probability(p, self.label())
        self.init_p = p
        return self

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        kept = 1.0 - self.init_p
        if not self._training:
            return _unchanged(x) if self.scale else _multiplied(x, float_type(x).type(kept))
        mask, factor = kernels.bernoulli(RNG, kept, x.shape), 1.0 / kept if self.scale else 1.0
        return kernels.masked(x, mask, factor), lambda grad: kernels.masked(grad, mask, factor)


@dataclass(eq=False)
class GaussianDropout(Module):
    """Multiply by normal noise of mean 1 and deviation sqrt(rate / (1 - rate)); identity in evaluation.

    x: any shape -> same shape.
    Source: BigDL's GaussianDropout; Srivastava et al. 2014.
    """

    rate: float

    def __post_init__(self) -> None:
        check_probability(self.rate, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return _unchanged(x)
        deviation = float(np.sqrt(self.rate / (1.0 - self.rate)))
        return _multiplied(x, RNG.normal(1.0, deviation, x.shape, float_type(x)))


@dataclass(eq=False)
class GaussianNoise(Module):
    """Add normal noise of mean 0 and deviation `stddev`; identity in evaluation.

    x: any shape -> same shape.
    Source: BigDL's GaussianNoise.
    """

    stddev: float

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return _unchanged(x)
        return x + RNG.normal(0.0, self.stddev, x.shape, float_type(x)), lambda grad: grad


@dataclass(eq=False)
class SpatialDropout1D(Module):
    """Drop whole features, at all steps, in training; in evaluation multiply by 1 - init_p.

    x: (N, T, C) -> same shape.
    Source: BigDL's SpatialDropout1D; Tompson et al. 2015.
    """

    init_p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.init_p, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _without_planes(self, self.init_p, x, "NHWC", 1)


@dataclass(eq=False)
class SpatialDropout2D(Module):
    """Drop whole planes in training; in evaluation multiply by 1 - init_p.

    x: (N, C, H, W), or (N, H, W, C) for 'NHWC' -> same shape.
    Source: BigDL's SpatialDropout2D; Tompson et al. 2015.
    """

    init_p: float = 0.5
    data_format: str = "NCHW"

    def __post_init__(self) -> None:
        check_probability(self.init_p, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _without_planes(self, self.init_p, x, self.data_format, 2)


@dataclass(eq=False)
class SpatialDropout3D(Module):
    """Drop the whole volumes of some channels in training; in evaluation multiply by 1 - init_p.

    x: (N, C, T, H, W), or (N, T, H, W, C) for 'NHWC' -> same shape; also without N.
    Source: BigDL's SpatialDropout3D; Tompson et al. 2015.
    """

    init_p: float = 0.5
    data_format: str = "NCHW"

    def __post_init__(self) -> None:
        check_probability(self.init_p, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _without_planes(self, self.init_p, x, self.data_format, 3)


def _without_planes(module: Module, p: float, x: Array, data_format: str, rank: int) -> tuple[Array, Pullback]:
    layout = Layout.of(x, data_format, None, module.label(), rank)
    if not module.is_training():
        return _multiplied(x, x.dtype.type(1.0 - p))
    planes = layout.enter(x).shape[:2]
    mask = RNG.bernoulli(1.0 - p, (*planes, *[1] * rank)).astype(np.float32)
    return _multiplied(x, layout.leave(mask))
