"""Penalties on parameters, added to their gradients in each backward pass."""

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array


@dataclass(frozen=True)
class L1L2Regularizer:
    """l1 |w| + l2 w^2 / 2; its gradient is l1 sign(w) + l2 w."""

    l1: float
    l2: float

    def gradient(self, value: Array) -> Array:
        """What the penalty adds to the gradient of `value`."""
        return np.float32(self.l1) * np.sign(value) + np.float32(self.l2) * value


class L1Regularizer(L1L2Regularizer):
    """l1 |w|."""

    def __init__(self, l1: float) -> None:
        super().__init__(l1, 0.0)


class L2Regularizer(L1L2Regularizer):
    """l2 w^2 / 2."""

    def __init__(self, l2: float) -> None:
        super().__init__(0.0, l2)
