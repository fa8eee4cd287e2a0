"""Initialisation methods, as BigDL names and draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

from dlcore.activity import Array
from dlcore.number_type import made_type
from dlcore.rng import RNG

__all__ = [
    "BilinearFiller",
    "ConstInitMethod",
    "InitMethod",
    "MsraFiller",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "Xavier",
    "Zeros",
]

Shape = tuple[int, ...]
_skipped: ContextVar[bool] = ContextVar("skipped", default=False)


@contextmanager
def skipped() -> Iterator[None]:
    """Within this context new layers get zeros and draw nothing: for models whose weights are loaded next."""
    token = _skipped.set(True)
    try:
        yield
    finally:
        _skipped.reset(token)


@dataclass(frozen=True)
class InitMethod:
    """Gives a new value for a parameter; `fan_in` and `fan_out` are those of the layer's weight.

    The value is of the layer's type; `bigdl_type` is taken because BigDL's take it.
    """

    bigdl_type: str = field(default="float", kw_only=True, repr=False, compare=False)

    def __call__(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """A new array of `shape`, of the type of the layer that is being made."""
        if _skipped.get():
            return np.zeros(shape, made_type())
        return self.draw(shape, fan_in, fan_out).astype(made_type(), copy=False)

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """The values; each method defines it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zeros(InitMethod):
    """All zero."""

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        return np.zeros(shape, made_type())


@dataclass(frozen=True)
class Ones(InitMethod):
    """All one."""

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        return np.ones(shape, made_type())


@dataclass(frozen=True)
class ConstInitMethod(InitMethod):
    """All `value`."""

    value: float

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        return np.full(shape, self.value, made_type())


@dataclass(frozen=True)
class RandomUniform(InitMethod):
    """Uniform in [lower, upper); without bounds in [-1/sqrt(fan_in), 1/sqrt(fan_in)). The order is BigDL's."""

    upper: float | None = None
    lower: float | None = None

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        bound = 1.0 / np.sqrt(max(fan_in, 1))
        lower = -bound if self.lower is None else self.lower
        upper = bound if self.upper is None else self.upper
        return RNG.uniform(min(lower, upper), max(lower, upper), shape, made_type())


@dataclass(frozen=True)
class RandomNormal(InitMethod):
    """Normal with `mean` and standard deviation `stdv`."""

    mean: float
    stdv: float

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        return RNG.normal(self.mean, self.stdv, shape, made_type())


@dataclass(frozen=True)
class Xavier(InitMethod):
    """Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        bound = float(np.sqrt(6.0 / (fan_in + fan_out)))
        return RNG.uniform(-bound, bound, shape, made_type())


@dataclass(frozen=True)
class MsraFiller(InitMethod):
    """Normal with deviation sqrt(2 / n) (He et al. 2015); n is the mean of the two fans, rounded down, or fan_out
    alone."""

    varianceNormAverage: bool = True

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        count = (fan_in + fan_out) // 2 if self.varianceNormAverage else fan_out
        return RNG.normal(0.0, float(np.sqrt(2.0 / count)), shape, made_type())


@dataclass(frozen=True)
class BilinearFiller(InitMethod):
    """Bilinear interpolation for an upsampling transposed convolution; shape (..., k, k)."""

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """The kernel of the interpolation in each plane; ValueError unless it is square."""
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"BilinearFiller: got shape {shape}, expected a square kernel in the last two dimensions")
        side = shape[-1]
        factor = (side + 1) // 2
        centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
        ramp = 1 - np.abs(np.arange(side) / factor - centre)
        return np.broadcast_to(np.outer(ramp, ramp), shape).astype(made_type())
