"""The training loop: `Optimizer(model, data, criterion, end, batch_size).optimize()`."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np

from dlcore.activity import Array
from dlcore.errors import TrainingDivergedError
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.checkpoint import Checkpoint
from dlcore.optim.method import SGD, OptimMethod
from dlcore.optim.metric import EvaluatedResult, ValidationMethod
from dlcore.optim.progress import ProgressDisplay
from dlcore.optim.schedule import Progress
from dlcore.optim.source import ArraySource, BatchRequest, as_source, records_per_epoch
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import MaxEpoch, MaxIteration, TrainingState, Trigger
from dlcore.optim.worker import Crew, ForkedCrew, LocalCrew, Memory, Report, Worker

logger = logging.getLogger(__name__)


@dataclass
class _Validation:
    trigger: Trigger
    evaluate: Callable[[Module], dict[str, float]]


class Optimizer:
    """Trains a model on one machine, with one or several worker processes.

    training_set: a pair (inputs, targets) of arrays, or a function of a BatchRequest that gives a worker's part of a batch.
    workers: processes that compute gradients, one thread each; their mean, weighted by records, is one step. The result is
    deterministic for a fixed number of workers.

    Raises:
        ValueError: a batch size below 1 or not divisible by the workers.
    """

    def __init__(
        self,
        model: Module,
        training_set: Any,
        criterion: Criterion,
        end_trigger: Trigger | None = None,
        batch_size: int = 32,
        optim_method: OptimMethod | None = None,
        *,
        workers: int = 1,
        seed: int = 1,
        is_quiet: bool = False,
    ) -> None:
        if batch_size < 1 or workers < 1 or batch_size % workers:
            raise ValueError(
                f"Optimizer: got batch_size {batch_size} and {workers} workers, expected a multiple of the workers"
            )
        self.model, self.criterion, self.batch_size = model, criterion, batch_size
        self.end = end_trigger or MaxEpoch(1)
        self.method = optim_method or SGD()
        self.workers, self.seed, self.is_quiet = workers, seed, is_quiet
        self.source = as_source(training_set, batch_size, seed)
        self.state = TrainingState()
        self._validations: list[_Validation] = []
        self._checkpoint: tuple[Trigger, Path, bool] | None = None
        self._resume: Checkpoint | None = None
        self._clip: Callable[[Array], None] | None = None
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
        optim_method: OptimMethod | None = None,
        cores: int | None = None,
    ) -> "Optimizer":
        """BigDL's way to write it; `cores` are the workers, one unless given."""
        return cls(model, training_set, criterion, end_trigger, batch_size, optim_method, workers=cores or 1)

    # --- settings ---------------------------------------------------------------------------------------------------

    def set_end_when(self, end_when: Trigger) -> Self:
        """When to end."""
        self.end = end_when
        return self

    def set_validation(
        self, batch_size: int, val_rdd: Any, trigger: Trigger, val_method: list[ValidationMethod] | None = None
    ) -> Self:
        """Score the model on (inputs, targets), in evaluation mode; the first method's result is the score."""
        inputs, targets = val_rdd
        source = ArraySource(inputs, targets, batch_size)
        methods = list(val_method or [])
        if not methods:
            raise ValueError("set_validation: got no val_method, expected at least one, such as Top1Accuracy()")
        return self.set_evaluation(
            trigger, lambda model: {r.method: r.result for r in evaluate(model, source, methods)}
        )

    def set_evaluation(self, trigger: Trigger, function: Callable[[Module], dict[str, float]]) -> Self:
        """Score the model, in evaluation mode, by any function that gives numbers by name; the first is the score."""
        self._validations.append(_Validation(trigger, function))
        return self

    def set_checkpoint(self, trigger: Trigger, path: str | Path, isOverWrite: bool = True) -> Self:
        """Save to path/checkpoint.npz, or to path/checkpoint-<iteration>.npz without isOverWrite."""
        self._checkpoint = trigger, Path(path), isOverWrite
        return self

    def resume(self, path: str | Path) -> Self:
        """Go on from a checkpoint file: the rest of training is what it would have been.

        Raises:
            FileNotFoundError, CheckpointError: see `Checkpoint.load`.
        """
        self._resume = Checkpoint.load(Path(path))
        return self

    def set_gradclip_const(self, min_value: float, max_value: float) -> Self:
        """Clip each gradient to [min_value, max_value]."""

        def clip(grads: Array) -> None:
            np.clip(grads, min_value, max_value, out=grads)

        self._clip = clip
        return self

    def set_gradclip_l2norm(self, clip_norm: float) -> Self:
        """Scale the gradient down to this L2 norm."""

        def clip(grads: Array) -> None:
            norm = math.sqrt(float(np.vdot(grads, grads)))
            if norm > clip_norm:
                grads *= np.float32(clip_norm / norm)

        self._clip = clip
        return self

    def disable_gradclip(self) -> Self:
        """Clip nothing."""
        self._clip = None
        return self

    def set_train_summary(self, summary: TrainSummary) -> Self:
        """Write the steps' scalars there."""
        self._train_summary = summary
        return self

    def set_val_summary(self, summary: ValidationSummary) -> Self:
        """Write the validations' scalars there."""
        self._val_summary = summary
        return self

    # --- training ---------------------------------------------------------------------------------------------------

    def optimize(self) -> Module:
        """Train until the end trigger; gives the model, in evaluation mode.

        Raises:
            WorkerError: a worker process raised or died.
            TrainingDivergedError: the loss is infinite or not a number.
        """
        self.model.training()
        memory = Memory.of(self.model, self.workers)
        crew: Crew | None = None
        try:
            if self._resume is not None:
                self.state = self._resume.restore(self.model, memory, self.method)
                self._resume = None
            crew = self._crew(memory)
            with ProgressDisplay(self._planned(), self.state.iteration, self.is_quiet) as display:
                while not self.end(self.state):
                    self._step(crew, memory, display)
        finally:
            if crew is not None:
                crew.close()
            memory.release(self.model)
            self._flush()
        return self.model.evaluate()

    def _crew(self, memory: Memory) -> Crew:
        members = [
            Worker(self.model, self.criterion, self.source, self.batch_size, self.seed, rank, self.workers, memory)
            for rank in range(self.workers)
        ]
        if self.workers == 1:
            return LocalCrew(members[0])
        return ForkedCrew(members, self.state.iteration)

    def _step(self, crew: Crew, memory: Memory, display: ProgressDisplay) -> None:
        start = perf_counter()
        reports = crew.step(self.state.iteration)
        records = sum(report.records for report in reports)
        self._combine(memory, reports, records)
        loss = sum(report.loss * report.records for report in reports) / max(records, 1)
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"loss is {loss} at iteration {self.state.iteration + 1}; lower the learning rate or clip the gradient"
            )
        if self._clip is not None:
            self._clip(memory.grads[0])
        progress = Progress(epoch=self.state.epoch, score=self.state.score, loss=self.state.loss)
        self.method.update(memory.weights, memory.grads[0], progress)
        self._advance(records, loss)
        self._record(records, perf_counter() - start)
        display.advance(self.state, records, perf_counter() - start, self.method.current_rate, reports)
        self._validate(memory)
        self._save(memory)

    @staticmethod
    def _combine(memory: Memory, reports: list[Report], records: int) -> None:
        """Leave the mean of the workers' gradients, weighted by records, in the first row."""
        first = memory.grads[0]
        if len(reports) == 1:
            return
        first *= np.float32(reports[0].records / max(records, 1))
        for row, report in zip(memory.grads[1:], reports[1:], strict=True):
            first += row * np.float32(report.records / max(records, 1))

    def _advance(self, records: int, loss: float) -> None:
        state, per_epoch = self.state, records_per_epoch(self.source)
        state.iteration += 1
        state.records += records
        state.loss = loss
        steps = math.ceil(per_epoch / self.batch_size) if per_epoch else 0
        state.is_epoch_end = bool(steps) and state.iteration % steps == 0
        state.epoch = state.iteration // steps + 1 if steps else 1

    def _planned(self) -> int | None:
        """The steps until the end, where the end trigger says so."""
        per_epoch = records_per_epoch(self.source)
        if isinstance(self.end, MaxEpoch) and per_epoch:
            return self.end.max_epoch * math.ceil(per_epoch / self.batch_size)
        return self.end.max if isinstance(self.end, MaxIteration) else None

    def _record(self, records: int, seconds: float) -> None:
        summary, state = self._train_summary, self.state
        if summary is None:
            return
        values = {"Loss": state.loss, "Throughput": records / seconds, "LearningRate": self.method.current_rate}
        for name, trigger in summary.triggers.items():
            if trigger is not None and not trigger(state):
                continue
            if name == "Parameters":
                for path, parameter in self.model.parameters().items():
                    summary.add_histogram(path, parameter.value, state.iteration)
            else:
                summary.add_scalar(name, float(values[name] or 0.0), state.iteration)

    def _validate(self, memory: Memory) -> None:
        due = [validation for validation in self._validations if validation.trigger(self.state)]
        if not due:
            return
        if self.workers > 1:
            memory.average_buffers(self.model)
        self.model.evaluate()
        try:
            for validation in due:
                self._note(validation.evaluate(self.model))
        finally:
            self.model.training()

    def _note(self, scores: dict[str, float]) -> None:
        for position, (name, value) in enumerate(scores.items()):
            logger.info("[Iteration %d] validation: %s is %.6g", self.state.iteration, name, value)
            self.state.history.setdefault(name, []).append((self.state.iteration, value))
            if position == 0:
                self.state.score = value
            if self._val_summary is not None:
                self._val_summary.add_scalar(name, value, self.state.iteration)

    def _save(self, memory: Memory) -> None:
        if self._checkpoint is None or not self._checkpoint[0](self.state):
            return
        _, folder, is_overwritten = self._checkpoint
        name = "checkpoint.npz" if is_overwritten else f"checkpoint-{self.state.iteration}.npz"
        Checkpoint.of(self.model, memory, self.method, self.state, self.seed).save(folder / name)

    def _flush(self) -> None:
        for summary in (self._train_summary, self._val_summary):
            if summary is not None:
                summary.flush()


def evaluate(model: Module, source: ArraySource, methods: list[ValidationMethod]) -> list[EvaluatedResult]:
    """The mean score of `model` by each method over all records of `source`, in the mode the model is in."""
    totals: list[EvaluatedResult | None] = [None] * len(methods)
    for iteration in range(math.ceil(source.records / source.batch_size)):
        x, target = source(BatchRequest(0, 0, 1, iteration, source.batch_size))
        y, _ = model.apply(x)
        for index, method in enumerate(methods):
            result, before = method(y, target), totals[index]
            totals[index] = result if before is None else before + result
    return [total for total in totals if total is not None]
