"""The training loop: `Optimizer(model, data, criterion, end, batch_size).optimize()`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

from dlcore.activity import Array
from dlcore.errors import WorkerError
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.optim.checkpoint import Checkpoint, checkpoint_folder
from dlcore.optim.crew import Assignment, Crew, StepResult, crew_for
from dlcore.optim.gradient_settings import GradientSettings
from dlcore.optim.method import SGD, OptimMethod
from dlcore.optim.metric import ValidationMethod
from dlcore.optim.named import metrics_of, with_state
from dlcore.optim.progress import ProgressDisplay
from dlcore.optim.sanity import require_finite, require_labels, required
from dlcore.optim.schedule import Progress
from dlcore.optim.scoring import evaluate
from dlcore.optim.source import as_source, finite_source, records_per_epoch, releasing
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import MaxEpoch, TrainingState, Trigger, planned_steps, require_trigger
from dlcore.optim.update import Update
from dlcore.stored_file import Place, below, place_of

logger = logging.getLogger(__name__)
RETRIES = 5
"""How often a training on Spark goes on from its latest checkpoint after an error of its workers."""


@dataclass
class _Validation:
    trigger: Trigger
    evaluate: Callable[[Module], dict[str, float]]


class Optimizer(GradientSettings):
    """Trains a model on one machine, with one or several worker processes.

    optim_method: one for all weights, or one for each layer: `{"features": SGD(), "head": Adam()}`; or the name of one,
    whose settings are in `state`, as in BigDL 0.1: `"SGD", state={"learningRate": 0.1, "batchSize": 32}`.
    training_rdd: a pair (inputs, targets) of arrays, a DataSet, a list of Samples, an ImageFrame, or a function of a
    BatchRequest that gives a worker's part of a batch. The records of an RDD of Samples, or of a DataFrame, stay where
    they are: its partitions are the workers, on Spark.
    workers: processes that compute gradients, one thread each; their mean, weighted by records, is one step. The result
    is deterministic for a fixed number of workers.

    Raises:
        TypeError: an optimisation method together with the settings of another.
        ValueError: a batch size below 1 or not divisible by the workers; an unknown method or setting.
    """

    def __init__(
        self,
        model: Module,
        training_rdd: Any,
        criterion: Criterion,
        end_trigger: Trigger | None = None,
        batch_size: int = 32,
        optim_method: OptimMethod | Mapping[str, OptimMethod] | str | None = None,
        *,
        state: Mapping[str, Any] | None = None,
        workers: int = 1,
        seed: int = 1,
        is_quiet: bool = False,
        bigdl_type: str = "float",
    ) -> None:
        method, batch_size = with_state(optim_method, state, batch_size)
        self.set_model(model).set_criterion(criterion)
        self.set_end_when(MaxEpoch(1) if end_trigger is None else end_trigger)
        self.set_optim_methods(method or SGD())
        self.seed, self.is_quiet, self._processes = seed, is_quiet, workers
        self._take_data(training_rdd, batch_size)
        self.state = TrainingState()
        self._validations: list[_Validation] = []
        self._checkpoint: tuple[Trigger, Place, bool] | None = None
        self._resume: Checkpoint | None = None
        self._latest: Place | None = None
        self._train_summary: TrainSummary | None = None
        self._val_summary: ValidationSummary | None = None

    @classmethod
    def create(
        cls,
        model: Module,
        training_set: Any,
        criterion: Criterion,
        end_trigger: Trigger | None = None,
        batch_size: int = 32,
        optim_method: OptimMethod | Mapping[str, OptimMethod] | None = None,
        cores: int | None = None,
    ) -> Optimizer:
        """BigDL's way to write it; `cores` are the workers, one unless given."""
        if isinstance(training_set, tuple) and len(training_set) == 2:
            return LocalOptimizer(*training_set, model, criterion, end_trigger, batch_size, optim_method, cores)
        return cls(model, training_set, criterion, end_trigger, batch_size, optim_method, workers=cores or 1)

    @staticmethod
    def _check_batch_size(batch_size: int, workers: int) -> None:
        if batch_size < 1 or workers < 1 or batch_size % workers:
            raise ValueError(
                f"Optimizer: got batch_size {batch_size} and {workers} workers, expected a multiple of the workers"
            )

    # --- settings ---------------------------------------------------------------------------------------------------

    def set_model(self, model: Module) -> Self:
        """Train this model from now on. TypeError: it is none."""
        self.model = required(model, Module, "model")
        return self

    def set_criterion(self, criterion: Criterion) -> Self:
        """Make this criterion small from now on. TypeError: it is none."""
        self.criterion = required(criterion, Criterion, "criterion")
        return self

    def set_traindata(self, training_rdd: Any, batch_size: int) -> Self:
        """Train on this set, of any form that the constructor takes, from now on.

        Raises:
            ValueError: a batch size below 1 or not divisible by the workers.
        """
        self._take_data(training_rdd, batch_size)
        return self

    def _take_data(self, training_rdd: Any, batch_size: int) -> None:
        """Records that are elsewhere bring their workers; others have those that the constructor was given."""
        self._check_batch_size(batch_size, 1)
        source: Any = as_source(training_rdd, batch_size, self.seed)
        if (workers := getattr(source, "workers", None)) is None:
            self._check_batch_size(batch_size, self._processes)
        else:
            source.require_batch_size(batch_size)
        self.batch_size, self.source, self.workers = batch_size, source, workers or self._processes

    def prepare_input(self) -> Self:
        """Nothing: batches are prepared as they are needed. BigDL loads and caches the training set here."""
        return self

    def set_end_when(self, end_when: Trigger) -> Self:
        """When to end."""
        self.end = require_trigger(end_when, "end trigger")
        return self

    def set_validation(
        self,
        batch_size: int,
        val_rdd: Any,
        trigger: Trigger,
        val_method: Sequence[ValidationMethod | str] | None = None,
    ) -> Self:
        """Score the model in evaluation mode on a set that ends; the first method's result is the score."""
        source = finite_source(val_rdd, batch_size)
        methods = metrics_of(val_method)
        if not methods:
            raise ValueError("set_validation: got no val_method, expected at least one, such as Top1Accuracy()")
        return self.set_evaluation(
            trigger, lambda model: {r.method: r.result for r in evaluate(model, source, methods)}
        )

    def set_evaluation(self, trigger: Trigger, function: Callable[[Module], dict[str, float]]) -> Self:
        """Score the model, in evaluation mode, by any function that gives numbers by name; the first is the score."""
        self._validations.append(_Validation(require_trigger(trigger, "trigger"), function))
        return self

    def set_checkpoint(self, trigger: Trigger, path: str | Path, isOverWrite: bool = True) -> Self:
        """Save to path/checkpoint.npz, or to path/checkpoint-<iteration>.npz without isOverWrite; `hdfs://...` will do.

        Raises:
            TypeError: no trigger.
            ValueError: the path is a file.
        """
        require_trigger(trigger, "trigger")
        self._checkpoint = trigger, checkpoint_folder(path), isOverWrite
        return self

    def resume(self, path: str | Path) -> Self:
        """Go on from a checkpoint file: the rest of training is what it would have been.

        Raises:
            FileNotFoundError, CheckpointError: see `Checkpoint.load`.
        """
        place = place_of(path)
        self._resume, self._latest = Checkpoint.load(place), place
        return self

    def set_optim_methods(self, methods: OptimMethod | Mapping[str, OptimMethod]) -> Self:
        """The method that changes the weights, or one for each layer, by its name, so that all layers have one."""
        self.methods = dict(methods) if isinstance(methods, Mapping) else {"": methods}
        for method in self.methods.values():
            required(method, OptimMethod, "optimisation method")
        return self

    setvalidation, setcheckpoint = set_validation, set_checkpoint
    """BigDL 0.1's names."""

    def set_train_summary(self, summary: TrainSummary) -> Self:
        """Write the steps' scalars there."""
        self._train_summary = required(summary, TrainSummary, "train summary")
        return self

    def set_val_summary(self, summary: ValidationSummary) -> Self:
        """Write the validations' scalars there."""
        self._val_summary = required(summary, ValidationSummary, "validation summary")
        return self

    # --- training ---------------------------------------------------------------------------------------------------

    def optimize(self) -> Module:
        """Train until the end trigger; gives the model, in evaluation mode.

        Raises:
            KeyError: an optimisation method is for a layer that does not exist.
            ValueError: weights that are to learn have no optimisation method, or two.
            WorkerError: a worker process raised or died; on Spark, where the latest checkpoint was tried again from
            several times.
            TrainingDivergedError: loss, or a weight at the end, is infinite or not a number, or the rate is beyond all
                sense.
        """
        require_labels(self.criterion, self.source)
        left = RETRIES if hasattr(self.source, "crew") else 0
        with releasing(self.source):
            while True:
                try:
                    return self._train()
                except WorkerError as error:
                    left -= 1
                    if self._latest is None or left < 0:
                        raise
                    logger.warning("%s; going on from %s, %d tries left", error, self._latest, left)
                    self.resume(self._latest)

    def _train(self) -> Module:
        update = Update.of(self.model, self.methods, self._clipping)
        buffers: Array | None = None
        if self._resume is not None:
            sizes = {part.name: part.stop - part.start for part in update.parts}
            self.state, buffers = self._resume.restore(self.model, self.workers, self.methods, self._fixed(), sizes)
            self._resume = None
        self.model.training()
        crew = crew_for(
            Assignment(
                self.model, self.criterion, self.source, self.batch_size, self.seed, self.workers,
                update, self.state.iteration, buffers, self._exchange,
            )
        )  # fmt: skip
        try:
            per_epoch = records_per_epoch(self.source)
            with ProgressDisplay(
                planned_steps(self.end, per_epoch, self.batch_size), self.state.iteration, self.is_quiet, per_epoch
            ) as display:
                while not self.end(self.state):
                    self._step(crew, display)
            crew.collect()
        finally:
            crew.close()
            self._flush()
        require_finite(self.model, self.state.iteration)
        return self.model.training(False)

    def _step(self, crew: Crew, display: ProgressDisplay) -> None:
        start, state = perf_counter(), self.state
        result = crew.step(state.iteration, Progress(epoch=state.epoch, score=state.score, loss=state.loss))
        self._advance(result.records, result.loss)
        self._record(crew, result, perf_counter() - start)
        display.advance(state, result, perf_counter() - start)
        self._validate(crew, display)
        self._save(crew)

    def _advance(self, records: int, loss: float) -> None:
        state, per_epoch = self.state, records_per_epoch(self.source)
        state.iteration += 1
        state.records += records
        state.loss = loss
        steps = math.ceil(per_epoch / self.batch_size) if per_epoch else 0
        state.is_epoch_end = bool(steps) and state.iteration % steps == 0
        state.epoch = state.iteration // steps + 1 if steps else 1

    def _record(self, crew: Crew, result: StepResult, seconds: float) -> None:
        def parameters() -> Mapping[str, Parameter]:
            crew.collect()
            return self.model.named_parameters()

        scalars = {
            "Loss": {"": result.loss},
            "Throughput": {"": result.records / seconds},
            "LearningRate": result.rates,
        }
        if self._train_summary is not None:
            self._train_summary.record(self.state, scalars, parameters)

    def _validate(self, crew: Crew, display: ProgressDisplay) -> None:
        due = [validation for validation in self._validations if validation.trigger(self.state)]
        if not due:
            return
        crew.collect()
        self.model.evaluate()
        try:
            for validation in due:
                scores = validation.evaluate(self.model)
                self._note(scores)
                display.tell_scores(self.state, scores)
        finally:
            self.model.training()

    def _note(self, scores: dict[str, float]) -> None:
        for position, (name, value) in enumerate(scores.items()):
            self.state.history.setdefault(name, []).append((self.state.iteration, value))
            if position == 0:
                self.state.score = value
            if self._val_summary is not None:
                self._val_summary.add_scalar(name, value, self.state.iteration)

    def _save(self, crew: Crew) -> None:
        if self._checkpoint is None or not self._checkpoint[0](self.state):
            return
        _, folder, is_overwritten = self._checkpoint
        name = "checkpoint.npz" if is_overwritten else f"checkpoint-{self.state.iteration}.npz"
        place = below(folder, name)
        Checkpoint.of(self.model, crew.collect(), self.methods, self.state, self._fixed()).save(place)
        self._latest = place

    def _fixed(self) -> dict[str, int]:
        """The settings on which the order of the records hangs: a resumed training needs the same."""
        return {"seed": self.seed, "batch_size": self.batch_size}

    def _flush(self) -> None:
        for summary in (self._train_summary, self._val_summary):
            if summary is not None:
                summary.flush()


class LocalOptimizer(Optimizer):
    """Optimizer on arrays, as BigDL writes it; `cores` are the workers, one unless given."""

    def __init__(
        self,
        X: Any,
        Y: Any,
        model: Module,
        criterion: Criterion,
        end_trigger: Trigger | None = None,
        batch_size: int = 32,
        optim_method: OptimMethod | Mapping[str, OptimMethod] | None = None,
        cores: int | None = None,
        bigdl_type: str = "float",
    ) -> None:
        super().__init__(model, (X, Y), criterion, end_trigger, batch_size, optim_method, workers=cores or 1)

    def set_validation(  # type: ignore[override]
        self,
        batch_size: int,
        X_val: Any = None,
        Y_val: Any = None,
        trigger: Any = None,
        val_method: Any = None,
        *,
        val_rdd: Any = None,
    ) -> Self:
        """Score the model on records X_val and their targets Y_val, each apart, as BigDL's LocalOptimizer takes them;
        or on both together, as Optimizer takes them."""
        if isinstance(Y_val, Trigger):  # Optimizer's order: batch_size, val_rdd, trigger, val_method
            Y_val, trigger, val_method = None, Y_val, trigger or val_method
        data = (X_val, Y_val) if Y_val is not None else X_val if val_rdd is None else val_rdd
        return super().set_validation(batch_size, data, trigger, val_method)
