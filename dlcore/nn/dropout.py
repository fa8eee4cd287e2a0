"""Layers that disturb their input in training only."""

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layout import Layout
from dlcore.nn.module import Module
from dlcore.rng import RNG


def _multiplied(x: Array, factor: Array) -> tuple[Array, Pullback]:
    return x * factor, lambda grad: grad * factor


def _unchanged(x: Array) -> tuple[Array, Pullback]:
    return x, lambda grad: grad


def _check_probability(value: float, label: str) -> None:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{label}: got probability {value}, expected 0 <= p < 1")


@dataclass(eq=False)
class Dropout(Module):
    """Zero each element with probability `init_p` and scale the rest by 1 / (1 - p); identity in evaluation.

    With scale=False nothing is scaled in training and evaluation multiplies by 1 - p.
    """

    init_p: float = 0.5
    inplace: bool = False
    scale: bool = True

    def __post_init__(self) -> None:
        _check_probability(self.init_p, self.label())

    def set_p(self, p: float) -> "Dropout":
        """Change the probability."""
        _check_probability(p, self.label())
        self.init_p = p
        return self

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        kept = 1.0 - self.init_p
        if not self._training:
            return _unchanged(x) if self.scale else _multiplied(x, np.float32(kept))  # type: ignore[arg-type]
        mask = RNG.bernoulli(kept, x.shape).astype(np.float32)
        if self.scale:
            mask *= np.float32(1.0 / kept)
        return _multiplied(x, mask)


@dataclass(eq=False)
class GaussianDropout(Module):
    """Multiply by normal noise of mean 1 and deviation sqrt(rate / (1 - rate)); identity in evaluation."""

    rate: float

    def __post_init__(self) -> None:
        _check_probability(self.rate, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return _unchanged(x)
        deviation = float(np.sqrt(self.rate / (1.0 - self.rate)))
        return _multiplied(x, RNG.normal(1.0, deviation, x.shape))


@dataclass(eq=False)
class GaussianNoise(Module):
    """Add normal noise of mean 0 and deviation `stddev`; identity in evaluation."""

    stddev: float

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return _unchanged(x)
        return x + RNG.normal(0.0, self.stddev, x.shape), lambda grad: grad


@dataclass(eq=False)
class SpatialDropout1D(Module):
    """Drop whole features of (N, T, C)."""

    init_p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.init_p, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return _unchanged(x)
        return _multiplied(x, RNG.bernoulli(1.0 - self.init_p, (x.shape[0], 1, x.shape[2])).astype(np.float32))


@dataclass(eq=False)
class SpatialDropout2D(Module):
    """Drop whole planes of (N, C, H, W), without scaling the rest; identity in evaluation."""

    init_p: float = 0.5
    data_format: str = "NCHW"

    def __post_init__(self) -> None:
        _check_probability(self.init_p, self.label())

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if not self._training:
            return _unchanged(x)
        layout = Layout.of(x, self.data_format, None, self.label())
        n, channels = layout.enter(x).shape[:2]
        mask = RNG.bernoulli(1.0 - self.init_p, (n, channels, 1, 1)).astype(np.float32)
        return _multiplied(x, layout.leave(mask))
