"""An RDD of samples as the source of a training: its records stay where they are."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from dlcore.data.batch import batch_of
from dlcore.data.dataset import sample_of
from dlcore.errors import WorkerError
from dlcore.nn.module import Module
from dlcore.optim.metric import Tally, ValidationMethod
from dlcore.optim.scoring import tallies_of
from dlcore.spark.predict import Predictor
from dlcore.spark.sample_file import arrays_of
from dlcore.spark.shared import Shared, local_folder
from dlcore.spark.slice_store import Sharing, SliceStore

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

    `kept` is the RDD of the files: Spark runs a task where a partition's file is, and makes the file again on another
    executor when that one is lost.

    Raises:
        ValueError: there are no records, or the batch size does not divide by the partitions.
    """

    rdd: Any
    batch_size: int
    seed: int = 1
    token: str = field(init=False, default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.workers = int(self.rdd.getNumPartitions())
        self._starts: tuple[int, ...] | None = None

    @cached_property
    def kept(self) -> Any:
        """The RDD of the files."""
        return self.rdd.mapPartitionsWithIndex(partial(keep, self.token)).persist()

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each partition's records begin among all, and how many there are; the files are made when this is first
        asked for."""
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

    def release(self) -> None:
        """Remove the files; what asks for them later makes them anew."""
        if "kept" not in self.__dict__:
            return
        try:
            if self._starts is not None:
                self.kept.foreach(_removed)
            self.kept.unpersist()
        except Exception:
            logger.warning("could not remove files of samples from Spark's workers", exc_info=True)
        del self.kept

    @property
    def records(self) -> int:
        """How many records there are."""
        return self.starts[-1]

    def require_batch_size(self, batch_size: int) -> None:
        """Refuse a batch that cannot be divided equally among the partitions.

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
        """What each method counts over all records, in evaluation mode; each worker counts its partitions', as they
        come.

        Raises:
            ValueError: there are no records.
            WorkerError: Spark gave up.
        """
        size = -(-self.batch_size // self.workers)
        shared = Shared.of(self.rdd.ctx, (Predictor(model.sharing_weights(), size), methods))
        try:
            found = self.rdd.mapPartitions(partial(_tallied, shared)).collect()
        except Exception as error:
            raise WorkerError(f"scoring on Spark failed: {error}") from error
        finally:
            shared.destroy()
        if not found:
            raise ValueError("evaluate: got an RDD without records, expected at least one Sample")
        return [sum(column[1:], column[0]) for column in zip(*found, strict=True)]


def _removed(kept: Kept) -> None:
    Path(kept.path.rpartition("|")[2]).unlink(missing_ok=True)


def _tallied(shared: Shared, records: Iterator[Any]) -> Iterator[list[Tally]]:
    predictor, methods = shared.value()
    if found := tallies_of(predictor.module, _batches(records, predictor.size), methods, predictor):
        yield found


def _batches(records: Iterator[Any], size: int) -> Iterator[tuple[Any, Any]]:
    while some := list(islice(records, size)):
        batch = batch_of([sample_of(record) for record in some])
        yield batch.input, batch.target
