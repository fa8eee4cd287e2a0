"""Layers that pass their input on and add a penalty's gradient in the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.module import Module

__all__ = ["ActivityRegularization", "L1Penalty", "NegativeEntropyPenalty"]


@dataclass(eq=False)
class L1Penalty(Module):
    """Adds the gradient of l1weight |x|, divided by the number of elements with size_average.

    x: any shape -> same shape.
    With provide_output=False the gradient from above is dropped.
    Source: BigDL's L1Penalty.
    """

    l1weight: float
    size_average: bool = False
    provide_output: bool = True

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        share = self.l1weight / (max(x.size, 1) if self.size_average else 1)

        def pull(grad: Array) -> Array:
            signs: Array = np.sign(x)
            return share * signs + grad if self.provide_output else share * signs

        return x, pull


@dataclass(eq=False)
class ActivityRegularization(Module):
    """Adds the gradient of l1 |x| + l2 x^2. x: any shape -> same shape. Source: BigDL's ActivityRegularization."""

    l1: float = 0.0
    l2: float = 0.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda grad: grad + float(self.l1) * np.sign(x) + float(2 * self.l2) * x


@dataclass(eq=False)
class NegativeEntropyPenalty(Module):
    """Adds the gradient of beta sum of x log x, x being probabilities: the more even, the better.

    x: any shape -> same shape.
    Source: BigDL's NegativeEntropyPenalty.
    """

    beta: float = 0.01

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda grad: grad + float(self.beta) * (np.log(x) + 1)
