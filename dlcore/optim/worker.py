"""A worker: computes the gradient of its part of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from dlcore.activity import Activity, leaves
from dlcore.kernels.memory import retain_freed_memory
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pullback import pulled
from dlcore.optim.memory import Memory
from dlcore.optim.source import BatchRequest, prepared
from dlcore.rng import RNG

Batch = tuple[Activity, Activity, float]
"""Input, target, the seconds it took."""


@dataclass(frozen=True)
class PartResult:
    """One worker's step: mean loss over its records, seconds to build the batch and to compute. is_dropped: it was
    given up, and its gradient is 0 of 0 records."""

    loss: float
    records: int
    data_s: float
    compute_s: float
    is_dropped: bool = False


@dataclass
class Worker:
    """Computes steps on `model` with the batches of `source`; number `rank` of `workers`."""

    model: Module
    criterion: Criterion
    source: Callable[[BatchRequest], tuple[Any, Any]]
    batch_size: int
    seed: int
    rank: int
    workers: int
    memory: Memory

    def seat(self) -> None:
        """Take this worker's rows of the shared memory; keep freed memory, for each step needs what the last one
        freed."""
        retain_freed_memory()
        self.memory.seat(self.rank)

    def batch(self, iteration: int) -> Batch:
        """The batch of a step."""
        start = perf_counter()
        base, extra = divmod(self.batch_size, self.workers)
        size = base + (1 if self.rank < extra else 0)
        x, target = self.source(BatchRequest(self.seed, self.rank, self.workers, iteration, size))
        return *prepared(x, target, self.memory.weights.dtype), perf_counter() - start

    def compute(self, iteration: int, batch: Batch) -> PartResult:
        """Leave the gradient of the mean loss in this worker's row."""
        x, target, data_s = batch
        start = perf_counter()
        RNG.set_seed(int(np.random.SeedSequence((self.seed, self.rank, iteration)).generate_state(1)[0]))
        self.memory.grads[self.rank].fill(0.0)
        records = len(next(iter(leaves(x))))
        if records == 0:
            return PartResult(0.0, 0, data_s, perf_counter() - start)
        loss = leave_gradient(self.model, self.criterion, self.memory.parameters, x, target)
        return PartResult(loss, records, data_s, perf_counter() - start)


def leave_gradient(
    model: Module, criterion: Criterion, parameters: Iterable[Parameter], x: Activity, target: Activity
) -> float:
    """Add the gradient of the mean loss of a batch, and of the penalties, to that of `parameters`; gives the loss."""
    y, pullback = model.apply(x)
    loss, gradient = criterion.apply(y, target)
    pulled(pullback, gradient(), needs_x=False)
    for parameter in parameters:
        parameter.penalise()
    return loss
