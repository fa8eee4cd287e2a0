"""Sources of batches: each worker asks for its own part of each step's batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import DTypeLike

from dlcore.activity import Activity, as_activity, as_given, leaves, map_leaves, with_floats
from dlcore.data.dataset import DataSet, data_set_of
from dlcore.data.distributed import elsewhere
from dlcore.rng import RandomGenerator

_ON_SPARK = "dlcore.spark.dataset"
"""It stands above, and is named as a string."""


@dataclass(frozen=True)
class BatchRequest:
    """The request of a worker: `size` records of step `iteration` (0-based), as number `worker` of `workers`.

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


class FiniteSource(Protocol):
    """A source of so many records, in batches of so many."""

    records: int
    batch_size: int

    def __call__(self, request: BatchRequest) -> tuple[Any, Any]:
        """See BatchSource."""


def records_per_epoch(source: Any) -> int | None:
    """The source's `records` attribute, or None where it goes on without end."""
    found = getattr(source, "records", None)
    return None if found is None else int(found)


@contextmanager
def releasing(source: Any) -> Iterator[None]:
    """Let a source whose records are elsewhere remove what it has made there, at the end."""
    try:
        yield
    finally:
        if release := getattr(source, "release", None):
            release()


@dataclass
class _EpochOrder:
    """The places of a request's records: each epoch in another order, the last batch of an epoch as small as it
    comes."""

    records: int
    batch_size: int
    seed: int
    _latest: tuple[int, Any] = (-1, None)

    def places(self, request: BatchRequest) -> tuple[int, np.ndarray[Any, Any]]:
        """The 0-based epoch, and the places of this worker's part."""
        epoch, step = divmod(request.iteration, -(-self.records // self.batch_size))
        if self._latest[0] != epoch:
            self._latest = epoch, RandomGenerator(self.seed + epoch).permutation(self.records)
        batch = self._latest[1][step * self.batch_size : (step + 1) * self.batch_size]
        return epoch, np.array_split(batch, request.workers)[request.worker]


@dataclass
class ArraySource:
    """Batches of arrays in memory: each epoch in another order, the last batch of an epoch as small as it comes.

    Arrays stay of their type; of pictures as uint8 only a batch becomes float32: see `prepared`.

    Raises:
        ValueError: inputs and targets of different lengths, or none.
    """

    inputs: Activity
    targets: Activity
    batch_size: int
    seed: int = 1
    records: int = field(init=False)

    def __post_init__(self) -> None:
        self.inputs, self.targets = as_given(self.inputs), as_given(self.targets)
        counts = [[len(leaf) for leaf in leaves(part)] for part in (self.inputs, self.targets)]
        lengths = {length for part in counts for length in part}
        if len(lengths) != 1 or 0 in lengths:
            inputs, targets = (" and ".join(map(str, part)) for part in counts)
            raise ValueError(f"got {inputs} inputs and {targets} targets, expected as many of both, at least one")
        self.records = lengths.pop()
        self._order = _EpochOrder(self.records, self.batch_size, self.seed)

    def __call__(self, request: BatchRequest) -> tuple[Activity, Activity]:
        _, rows = self._order.places(request)
        return map_leaves(lambda leaf: leaf[rows], self.inputs), map_leaves(lambda leaf: leaf[rows], self.targets)


@dataclass
class DataSetSource:
    """Batches of a DataSet, in the orders of ArraySource. What is random in a record is drawn from (seed, epoch,
    place)."""

    data: DataSet
    batch_size: int
    seed: int = 1
    records: int = field(init=False)

    def __post_init__(self) -> None:
        self.records = self.data.size()
        self._order = _EpochOrder(self.records, self.batch_size, self.seed)

    def __call__(self, request: BatchRequest) -> tuple[Activity, Activity]:
        """See BatchSource.

        Raises:
            ValueError: records without labels, or of different sizes.
        """
        epoch, places = self._order.places(request)
        asked = places if len(places) else np.zeros(1, np.intp)  # a batch of none has the shapes of a batch of one
        batch = self.data.batch(asked, [self._seed_of(epoch, int(place)) for place in asked]).rows(0, len(places))
        if batch.target is None:
            raise ValueError(
                "got samples without labels, expected a label in each: Sample.from_ndarray(features, label)"
            )
        return batch.input, batch.target

    def _seed_of(self, epoch: int, place: int) -> int:
        return crc32(f"{self.seed} {epoch} {place}".encode())


def prepared(x: Any, target: Any, kind: DTypeLike) -> tuple[Activity, Activity]:
    """A batch for a model with weights of type `kind`: floats and small whole numbers, such as pixels, become that;
    inputs that are whole numbers of 32 or 64 bits, such as places in a table, stay."""
    return with_floats(as_activity(x), kind), as_activity(target, kind)


def as_source(training_set: Any, batch_size: int, seed: int) -> Callable[[BatchRequest], tuple[Any, Any]]:
    """A BatchSource of a pair of arrays, of a DataSet, a list of Samples or an ImageFrame, or the callable itself; of
    an RDD of Samples, or a DataFrame, one whose records stay on Spark's workers.

    Raises:
        TypeError: it is none of these.
    """
    if (found := elsewhere(training_set)) is not None:
        source: Callable[[BatchRequest], tuple[Any, Any]] = import_module(_ON_SPARK).SparkSource(
            found, batch_size, seed
        )
        return source
    if (data := data_set_of(training_set)) is not None:
        return DataSetSource(data, batch_size, seed)
    if isinstance(training_set, (tuple, list)) and len(training_set) == 2:
        return ArraySource(training_set[0], training_set[1], batch_size, seed)
    if callable(training_set):
        source = training_set
        return source
    raise TypeError(
        f"got data of type {type(training_set).__name__}, expected a pair (inputs, targets) of arrays, a "
        "DataSet, a list of Samples, an ImageFrame or a function of a BatchRequest that gives (inputs, targets)"
    )


def finite_source(data: Any, batch_size: int) -> FiniteSource:
    """A source of all records of `data` once, to score a model on.

    Raises:
        TypeError: `data` is of another form than `as_source` takes, or a function without end.
    """
    source: Any = as_source(data, batch_size, 1)
    if not isinstance(source, (ArraySource, DataSetSource)) and not hasattr(source, "tallies"):
        raise TypeError(f"got a set of type {type(data).__name__} to score a model on, expected one that has an end")
    found: FiniteSource = source
    return found
