"""Layers that pass their input on and add a penalty's gradient in the backward pass."""

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.module import Module


@dataclass(eq=False)
class L1Penalty(Module):
    """Adds the gradient of l1weight |x|, divided by the number of elements with size_average.

    With provide_output=False the gradient from above is dropped.
    """

    l1weight: float
    size_average: bool = False
    provide_output: bool = True

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        share = np.float32(self.l1weight / (max(x.size, 1) if self.size_average else 1))

        def pull(grad: Array) -> Array:
            slope = share * np.sign(x)
            return slope + grad if self.provide_output else slope

        return x, pull


@dataclass(eq=False)
class ActivityRegularization(Module):
    """Adds the gradient of l1 |x| + l2 x^2."""

    l1: float = 0.0
    l2: float = 0.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda grad: grad + np.float32(self.l1) * np.sign(x) + np.float32(2 * self.l2) * x


@dataclass(eq=False)
class NegativeEntropyPenalty(Module):
    """Adds the gradient of beta sum of x log x, x being probabilities: the more even, the better."""

    beta: float = 0.01

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda grad: grad + np.float32(self.beta) * (np.log(x) + 1)
