"""Training of a network on the lake's pictures, so that a killed attempt costs only the steps since its checkpoint.

A training has a folder, named by what it trains on what rows: another attempt, or another run, of the same training
finds the checkpoint there and goes on. Its result is that of an unbroken training, to the bit.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.data.sample import Sample
from dlcore.errors import CheckpointError
from dlcore.nn.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.loop import Optimizer
from dlcore.optim.metric import Loss, Top1Accuracy, Top5Accuracy, ValidationMethod
from dlcore.optim.scoring import evaluate
from dlcore.optim.source import ArraySource, BatchRequest, finite_source
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, SeveralIteration, Trigger, TriggerOr
from dlcore.rng import RNG
from dlcore.stored_file import below, place_of, put_whole, read_whole, write_whole
from dlcore.vision.preprocessing import Preprocessing
from spark_jobs.running.runner import Job
from spark_jobs.training.labelled_pictures import PLACE, Labelled
from spark_jobs.training_config import TrainingConfig

logger = logging.getLogger(__name__)

CHECKPOINT, DONE, SUMMARIES = "checkpoint.npz", "done.json", "summaries"
_TOP5_CLASSES = 6


@dataclass
class PixelSource:
    """Batches of pictures (N, S, S, 3) uint8 that one process holds; without labels the picture is the target."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    preprocessing: Preprocessing
    is_labelled: bool
    batch_size: int
    seed: int
    records: int = field(init=False)

    def __post_init__(self) -> None:
        pixels: Any = self.pixels  # which stay bytes until they are in a batch
        self._arrays = ArraySource(pixels, self.labels, self.batch_size, self.seed)
        self.records = self._arrays.records

    def __call__(self, request: BatchRequest) -> tuple[Array, Array]:
        """The network's input (N, planes, S, S), and the labels (N,) or the pictures (N, planes * S * S)."""
        pixels, labels = self._arrays(request)
        return _pair(np.asarray(pixels, np.uint8), np.asarray(labels), self.preprocessing, self.is_labelled)


def _pair(
    pixels: NDArray[np.uint8], labels: Array, preprocessing: Preprocessing, is_labelled: bool
) -> tuple[Array, Array]:
    x = preprocessing.normalise(pixels)
    return x, labels if is_labelled else x.reshape(len(x), math.prod(x.shape[1:]))  # a worker may have none


def sample_of_row(row: Any, preprocessing: Preprocessing, is_labelled: bool) -> Sample:
    """A row as PIXELS says, as a record of a distributed training."""
    side = preprocessing.resize
    pixels = np.frombuffer(row["pixels"], np.uint8).reshape(1, side, side, 3)
    x, target = _pair(pixels, np.array([row["label"]], np.float32), preprocessing, is_labelled)
    return Sample.from_ndarray(x[0], target[0])


@dataclass(frozen=True)
class TrainingFolder:
    """Where a training's checkpoint and TensorBoard's files are; `local` is where this process writes the latter."""

    uri: str
    local: Path

    @classmethod
    @contextmanager
    def opened(cls, uri: str) -> Iterator[TrainingFolder]:
        """The folder at a URI. On another store than this machine's disk, summaries are copied there."""
        place = place_of(uri)
        with tempfile.TemporaryDirectory() as apart:
            yield cls(uri, place if isinstance(place, Path) else Path(apart))

    def checkpoint(self) -> str:
        """The URI of the checkpoint."""
        return f"{self.uri}/{CHECKPOINT}"

    def clear(self) -> None:
        """Remove what an earlier training has left."""
        files, path = fsspec.core.url_to_fs(self.uri)
        if files.exists(path):
            files.rm(path, recursive=True)

    def keep_summaries(self) -> None:
        """Copy to the store what has been written since."""
        if isinstance(place_of(self.uri), Path):
            return
        for file in (self.local / SUMMARIES).rglob("events.*"):
            put_whole(file, str(below(self.uri, str(file.relative_to(self.local)))))

    def done(self) -> dict[str, Any]:
        """What the training that ended here has left word of; nothing if none has ended."""
        try:
            found: dict[str, Any] = json.loads(read_whole(f"{self.uri}/{DONE}"))
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def end(self, word: dict[str, Any]) -> None:
        """Leave word, and remove the checkpoint, with what writers that were killed have left of it."""
        write_whole(f"{self.uri}/{DONE}", json.dumps(word) + "\n")
        files, path = fsspec.core.url_to_fs(self.uri)
        for pattern in (f"{CHECKPOINT}*", f".{CHECKPOINT}.*"):
            for file in files.glob(f"{path}/{pattern}"):
                files.rm(file)


@dataclass
class ModelTraining:
    """A training on the job's session: distributed where that has a SparkContext, else in processes of this machine."""

    job: Job[Any]
    config: TrainingConfig
    data: Labelled
    folder: TrainingFolder

    def run(self) -> tuple[Module, dict[str, float]]:
        """The trained network and its scores on the pictures for validation."""
        asked, criterion = self.config.training, self.config.made_criterion()
        RNG.set_seed(asked.seed)
        model = self.config.made_model(len(self.data.classes))
        self._held_out = self._source(is_validation=True)
        self._methods = _methods(criterion, self.config.is_labelled, len(self.data.classes))
        optimizer = Optimizer(
            model, self._source(is_validation=False), criterion, MaxEpoch(asked.epochs), asked.batch_size,
            self.config.made_method(), workers=asked.workers, seed=asked.seed,
        )  # fmt: skip
        self._continue(optimizer)
        optimizer.set_checkpoint(_when(asked.checkpoint_steps), self.folder.uri)
        summaries = self.folder.local / SUMMARIES
        optimizer.set_train_summary(TrainSummary(summaries, ""))
        optimizer.set_val_summary(ValidationSummary(summaries, ""))
        optimizer.set_evaluation(EveryEpoch(), partial(self._scored, optimizer))
        trained = optimizer.optimize()
        self.folder.keep_summaries()
        return trained, self._scores(trained)

    def _continue(self, optimizer: Optimizer) -> None:
        """Go on from the checkpoint, if there is one; else begin anew."""
        try:
            optimizer.resume(self.folder.checkpoint())
        except FileNotFoundError:
            self.folder.clear()
        except CheckpointError as error:
            self.job.warn(f"the training begins anew: {error}")
            self.folder.clear()
        else:
            logger.info("going on from %s", self.folder.checkpoint())
            self.job.note("went_on", True)

    def _scored(self, optimizer: Optimizer, model: Module) -> dict[str, float]:
        """Scores at the end of an epoch, which the run report tells while the training runs."""
        state, scores = optimizer.state, self._scores(model)
        self.folder.keep_summaries()
        self.job.note("training", {"epoch": state.epoch - 1, "step": state.iteration, "loss": state.loss, **scores})
        return scores

    def _scores(self, model: Module) -> dict[str, float]:
        return {found.method: round(found.result, 6) for found in evaluate(model, self._held_out, self._methods)}

    def _source(self, is_validation: bool) -> Any:
        """Records on Spark's workers, in as many partitions as the config says; or of this process."""
        asked, preprocessing = self.config.training, self.config.preprocessing
        if not is_distributed(self.job.spark):
            pixels, labels = self.data.brought(preprocessing.resize, is_validation)
            is_labelled = self.config.is_labelled
            return PixelSource(pixels, labels, preprocessing, is_labelled, asked.batch_size, asked.seed)
        from pyspark import StorageLevel

        if not is_validation:  # records to be judged on are read as they come
            self.data.require_room(preprocessing.resize, is_validation, asked.workers)
        rows = self.data.pixels(preprocessing.resize, is_validation)
        rows = rows.repartition(asked.workers, *PLACE).sortWithinPartitions(*PLACE)
        made = partial(sample_of_row, preprocessing=preprocessing, is_labelled=self.config.is_labelled)
        samples = rows.rdd.map(made)
        if not is_validation:
            return samples
        return finite_source(samples.persist(StorageLevel.MEMORY_AND_DISK), asked.batch_size)


def is_distributed(spark: Any) -> bool:
    """Whether a session can train on its workers: a client of Spark Connect cannot."""
    return hasattr(spark, "sparkContext")


def _when(steps: int) -> Trigger:
    return TriggerOr(EveryEpoch(), SeveralIteration(steps)) if steps else EveryEpoch()


def _methods(criterion: Criterion, is_labelled: bool, classes: int) -> list[ValidationMethod]:
    accuracies = [Top1Accuracy(), *([Top5Accuracy()] if classes >= _TOP5_CLASSES else [])]
    return [*(accuracies if is_labelled else []), Loss(criterion)]
