"""The network of bench_distributed.py, which Spark's workers import: its gradient is a fill."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter


class Filled(Module):
    """One parameter (P,), whose gradient is the same number everywhere."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = Parameter(np.zeros(size, np.float32))

    def apply(self, x: Array) -> tuple[Array, Any]:
        def pullback(grad: Array) -> Array:
            self.weight.grad.fill(1e-3)
            return grad

        return x, pullback
