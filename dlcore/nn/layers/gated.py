"""Activations that multiply each element by a gate: any shape -> same shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layers.activation import sigmoid
from dlcore.nn.module import Module

__all__ = ["GELU", "SiLU"]

_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_exact_erf = np.vectorize(math.erf, [np.float64])


@dataclass(eq=False)
class SiLU(Module):
    """x sigmoid(x). x: any shape -> same shape. Source: Elfwing et al. 2017 (Swish: Ramachandran et al. 2017)."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        gate = sigmoid(x)
        return x * gate, lambda grad: grad * gate * (1 + x * (1 - gate))


@dataclass(eq=False)
class GELU(Module):
    """x P(z < x) for a normal z; with is_approximate, x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).

    x: any shape -> same shape. Source: Hendrycks and Gimpel 2016.
    """

    is_approximate: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if self.is_approximate:
            scale = math.sqrt(2 / math.pi)
            wave = np.tanh(scale * (x + 0.044715 * x**3))
            slope = (1 - wave * wave) * scale * (1 + 3 * 0.044715 * x * x)
            return 0.5 * x * (1 + wave), lambda grad: grad * 0.5 * (1 + wave + x * slope)
        share = 0.5 * (1 + erf(x * math.sqrt(0.5)))
        return x * share, lambda grad: grad * (share + x * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)))


def erf(x: Array) -> Array:
    """The error function, for float32 within 5e-7 (Abramowitz and Stegun 7.1.26)."""
    if x.dtype == np.float64:
        exact: Array = np.asarray(_exact_erf(x), x.dtype)
        return exact
    size = np.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    total: Any = 0.0
    for factor in reversed(_ERF):
        total = (total + factor) * t
    result: Array = np.sign(x) * (1 - total * np.exp(-size * size))
    return result
