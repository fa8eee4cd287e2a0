"""Where batches come from: each worker asks for its own part of each step's batch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from dlcore.activity import Activity, as_activity, leaves, map_leaves
from dlcore.rng import RandomGenerator


@dataclass(frozen=True)
class BatchRequest:
    """What a worker wants: `size` records of step `iteration` (0-based); it is number `worker` of `workers`.

    `rng` is seeded by (seed, worker, iteration), so that a batch depends on nothing else.
    """

    seed: int
    worker: int
    workers: int
    iteration: int
    size: int

    @cached_property
    def rng(self) -> np.random.Generator:
        """The generator of this request."""
        return np.random.default_rng((self.seed, self.worker, self.iteration))


class BatchSource(Protocol):
    """Gives batches; any function of a BatchRequest will do. It may keep state in its worker, such as open files."""

    def __call__(self, request: BatchRequest) -> tuple[Any, Any]:
        """(input, target), each an array or a table with the records along the first dimension."""


def records_per_epoch(source: Any) -> int | None:
    """The source's `records` attribute, or None where it goes on without end."""
    found = getattr(source, "records", None)
    return None if found is None else int(found)


@dataclass
class ArraySource:
    """Batches of arrays in memory: each epoch in another order, the last batch of an epoch as small as it comes.

    Raises:
        ValueError: inputs and targets of different lengths, or none.
    """

    inputs: Activity
    targets: Activity
    batch_size: int
    seed: int = 1
    records: int = field(init=False)

    def __post_init__(self) -> None:
        self.inputs, self.targets = as_activity(self.inputs), as_activity(self.targets)
        lengths = {len(leaf) for part in (self.inputs, self.targets) for leaf in leaves(part)}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"got inputs and targets of lengths {sorted(lengths)}, expected one length above 0")
        self.records = lengths.pop()
        self._order: tuple[int, np.ndarray[Any, Any]] = (-1, np.empty(0, np.intp))

    def __call__(self, request: BatchRequest) -> tuple[Activity, Activity]:
        steps = -(-self.records // self.batch_size)
        epoch, step = divmod(request.iteration, steps)
        if self._order[0] != epoch:
            self._order = epoch, RandomGenerator(self.seed + epoch).permutation(self.records)
        batch = self._order[1][step * self.batch_size : (step + 1) * self.batch_size]
        rows = np.array_split(batch, request.workers)[request.worker]
        return map_leaves(lambda leaf: leaf[rows], self.inputs), map_leaves(lambda leaf: leaf[rows], self.targets)


def as_source(training_set: Any, batch_size: int, seed: int) -> Callable[[BatchRequest], tuple[Any, Any]]:
    """A BatchSource of a pair of arrays, or the callable itself.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(training_set, (tuple, list)) and len(training_set) == 2:
        return ArraySource(training_set[0], training_set[1], batch_size, seed)
    if callable(training_set):
        source: Callable[[BatchRequest], tuple[Any, Any]] = training_set
        return source
    raise TypeError(
        f"got a training set of type {type(training_set).__name__}, expected a pair (inputs, targets) of arrays or a "
        "function of a BatchRequest that gives (inputs, targets)"
    )
