"""An RDD of samples as the source of a training: its records stay where they are."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.nn.module import Module
from dlcore.optim.metric import Tally, ValidationMethod
from dlcore.optim.scoring import tallies_of
from dlcore.optim.source import BatchRequest
from dlcore.spark.predict import Predictor
from dlcore.spark.sample_file import SampleColumns, arrays_of
from dlcore.spark.shared import Shared, local_folder
from dlcore.spark.slice_store import Sharing, SliceStore, open_block

logger = logging.getLogger(__name__)
_CREW = "dlcore.spark.crew"
"""It knows sources, and so is named as a string."""


@dataclass(frozen=True)
class Kept:
    """A partition's samples in a file of its executor."""

    partition: int
    path: str
    count: int


def keep(token: str, partition: int, records: Iterable[Any]) -> Iterator[Kept]:
    """Write a partition's samples to a file of this executor; gives one Kept."""
    arrays = arrays_of(records)
    folder = Path(local_folder()) / f"dlcore-samples-{token}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = SliceStore(folder, Sharing(token)).write(f"samples.{partition}", arrays)
    yield Kept(partition, path, int(arrays["count"][0]))


@dataclass
class SparkSource:
    """Batches of an RDD of Samples, or of what holds one. Its partitions are the workers of a training.

    `kept` is the RDD of the files: Spark runs a task where a partition's file is, and makes the file again on another executor when
    that one is lost.

    Raises:
        ValueError: there are no records, or the batch size does not divide by the partitions.
    """

    rdd: Any
    batch_size: int
    seed: int = 1
    padding: tuple[Any, Any] = (None, None)
    token: str = field(init=False, default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.workers = int(self.rdd.getNumPartitions())
        self.kept = self.rdd.mapPartitionsWithIndex(partial(keep, self.token)).persist()
        self._starts: tuple[int, ...] | None = None

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each partition's records begin among all, and how many there are; the files are made when this is first asked for."""
        if self._starts is None:
            counts = [kept.count for kept in sorted(self.kept.collect(), key=lambda kept: kept.partition)]
            self._starts = tuple(sum(counts[:number]) for number in range(len(counts) + 1))
            if not self._starts[-1]:
                raise ValueError("Optimizer: got an RDD without records, expected at least one Sample")
            logger.info("%d samples in %d partitions", self._starts[-1], self.workers)
        return self._starts

    def keep_again(self) -> None:
        """Forget where the files are: the next job makes each where its task runs."""
        self.kept.unpersist(blocking=True)
        self.kept.persist()

    @property
    def records(self) -> int:
        """How many records there are."""
        return self.starts[-1]

    def require_batch_size(self, batch_size: int) -> None:
        """Refuse a batch of which the partitions cannot have equal parts.

        Raises:
            ValueError: the partitions do not divide it.
        """
        if batch_size < 1 or batch_size % self.workers:
            raise ValueError(
                f"Utils.getBatchSize: total batch size {batch_size} should be divided by partitionNum {self.workers}"
            )

    def crew(self, assignment: Any) -> Any:
        """The workers of a training on these records."""
        return import_module(_CREW).SparkCrew(assignment, self)

    def tallies(self, model: Module, methods: list[ValidationMethod]) -> list[Tally]:
        """What each method counts over all records, in evaluation mode; each worker counts its partitions'."""
        size = -(-self.batch_size // self.workers)
        shared = Shared.of(self.rdd.ctx, (Predictor(model.sharing_weights(), size), methods))
        try:
            task = partial(_tallied, shared, self.padding)
            found = self.kept.mapPartitions(task).collect()
        finally:
            shared.destroy()
        return [sum(column[1:], column[0]) for column in zip(*found, strict=True)]


def _tallied(shared: Shared, padding: tuple[Any, Any], kept: Iterator[Kept]) -> Iterator[list[Tally]]:
    (part,) = kept
    predictor, methods = shared.value()
    if part.count:
        source = FileSource(part.path, predictor.size, padding)
        yield tallies_of(predictor.module, source, methods, predictor)


@dataclass
class FileSource:
    """Batches of a file of samples, in order."""

    path: str
    batch_size: int
    padding: tuple[Any, Any] = (None, None)

    def __post_init__(self) -> None:
        self._columns = SampleColumns(open_block(self.path, is_read_whole=False))
        self.records = len(self._columns)

    def __call__(self, request: BatchRequest) -> tuple[Any, Any]:
        start = request.iteration * self.batch_size
        batch = self._columns.batch(np.arange(start, min(start + self.batch_size, self.records)), self.padding)
        return batch.input, batch.target
