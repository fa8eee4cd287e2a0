"""Penalties on parameters, added to their gradients once in each backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dlcore.activity import Array

__all__ = ["L1L2Regularizer", "L1Regularizer", "L2Regularizer"]  # without what a layer is called


@dataclass(frozen=True)
class L1L2Regularizer:
    """l1 |w| + l2 w^2 / 2; its gradient is l1 sign(w) + l2 w. `bigdl_type` is taken because BigDL's take it."""

    l1: float
    l2: float
    bigdl_type: str = field(default="float", kw_only=True, repr=False, compare=False)

    def gradient(self, value: Array) -> Array:
        """What the penalty adds to the gradient of `value`."""
        kind = value.dtype.type
        return kind(self.l1) * np.sign(value) + kind(self.l2) * value


class L1Regularizer(L1L2Regularizer):
    """l1 |w|."""

    def __init__(self, l1: float, bigdl_type: str = "float") -> None:
        super().__init__(l1, 0.0, bigdl_type=bigdl_type)


class L2Regularizer(L1L2Regularizer):
    """l2 w^2 / 2."""

    def __init__(self, l2: float, bigdl_type: str = "float") -> None:
        super().__init__(0.0, l2, bigdl_type=bigdl_type)


class ActivityRegularization(L1L2Regularizer):
    """L1L2Regularizer, as `bigdl.optim.optimizer` calls it; that on activities is a layer of the same name."""
