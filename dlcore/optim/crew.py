"""Crews: workers that step together. One works in this process, several are forked.

Forked workers share the weights and hand over gradients and running means in shared memory (anonymous, so that nothing
is left behind); pipes carry only step numbers and results. A worker builds its next batch while the weights are being
updated.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from typing import Any, Protocol

from dlcore.activity import Array
from dlcore.errors import TrainingDivergedError, WorkerError
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.exchange import Exchange
from dlcore.optim.memory import Memory
from dlcore.optim.method import Evaluation
from dlcore.optim.schedule import Progress
from dlcore.optim.source import BatchRequest
from dlcore.optim.update import Update, combine
from dlcore.optim.worker import Batch, PartResult, Worker

_PR_SET_PDEATHSIG = 1
_STOP = -1


@dataclass(frozen=True)
class Assignment:
    """The work of a crew. `buffers`: the workers' rows (workers, B) of a resumed training, which begins at
    `iteration`."""

    model: Module
    criterion: Criterion
    source: Callable[[BatchRequest], tuple[Any, Any]]
    batch_size: int
    seed: int
    workers: int
    update: Update
    iteration: int = 0
    buffers: Array | None = None
    exchange: Exchange = field(default_factory=Exchange)


@dataclass(frozen=True)
class StepResult:
    """The result of a step: the mean loss over all records, learning rates by the methods' names, the workers'
    parts."""

    loss: float
    records: int
    rates: dict[str, float]
    parts: list[PartResult]


class Crew(Protocol):
    """Workers that step together, wherever weights, gradients and the methods' state live."""

    def step(self, iteration: int, progress: Progress) -> StepResult:
        """Compute the gradients of step `iteration`, combine and clip them, and change the weights.

        Raises:
            WorkerError: a worker has failed or died.
            TrainingDivergedError: the loss is infinite or not a number; the weights are as before.
        """

    def collect(self) -> Array:
        """Bring weights and mean buffers into the model and state into the methods; gives the workers' buffers
        (workers, B)."""

    def close(self) -> None:
        """End the workers and leave the model with weights of its own."""


def crew_for(assignment: Assignment) -> Crew:
    """The crew that the source brings, where its records are elsewhere; else forked workers, or for one worker this
    process.

    Raises:
        ValueError: settings of the exchange, where the workers share one memory.
    """
    if brought := getattr(assignment.source, "crew", None):
        crew: Crew = brought(assignment)
        return crew
    if assignment.exchange != Exchange():
        raise ValueError(
            f"Optimizer: got {assignment.exchange} with records on this machine, whose workers exchange nothing; "
            "expected records on Spark, such as an RDD of Samples"
        )
    return LocalCrew(assignment) if assignment.workers == 1 else ForkedCrew(assignment)


def mean_loss(parts: list[PartResult], iteration: int) -> float:
    """The mean loss of a step over all records.

    Raises:
        TrainingDivergedError: it is infinite or not a number.
    """
    loss = sum(part.loss * part.records for part in parts) / max(sum(part.records for part in parts), 1)
    if not math.isfinite(loss):
        raise TrainingDivergedError(
            f"loss is {loss} at iteration {iteration + 1}; lower the learning rate or clip the gradient, "
            "and look for infinite or missing numbers in the data"
        )
    return loss


class _SharedMemoryCrew(ABC):
    """Weights and gradients are in this machine's memory, and this process changes the weights."""

    def __init__(self, assignment: Assignment) -> None:
        a = assignment
        self._update = a.update
        self._memory = Memory.of(a.model, a.update.parameters, a.workers)
        if a.buffers is not None:
            self._memory.buffers[...] = a.buffers
        self._workers = [
            Worker(a.model, a.criterion, a.source, a.batch_size, a.seed, rank, a.workers, self._memory)
            for rank in range(a.workers)
        ]

    @abstractmethod
    def _compute(self, iteration: int) -> list[PartResult]:
        """The workers' parts; their gradients are in the memory's rows."""

    def step(self, iteration: int, progress: Progress) -> StepResult:
        """See `Crew.step`."""
        parts, grads, loss, squared_norm = self._gradient(iteration)

        def again() -> tuple[float, Array]:
            _, grads, loss, squared_norm = self._gradient(iteration)
            grads *= grads.dtype.type(self._update.clipping.factor(squared_norm))
            return loss, grads

        evaluation = Evaluation(loss, again) if self._update.evaluates_again else None
        self._update.change(self._memory.weights, grads, squared_norm, progress, evaluation)
        rates = {name: method.current_rate for name, method in self._update.methods.items()}
        return StepResult(loss, sum(part.records for part in parts), rates, parts)

    def _gradient(self, iteration: int) -> tuple[list[PartResult], Array, float, float]:
        """Reports, the gradient with its values clipped, the loss, the squared norm."""
        parts = self._compute(iteration)
        loss = mean_loss(parts, iteration)
        grads = combine(self._memory.grads, [part.records for part in parts])
        return parts, grads, loss, self._update.clip_values(grads)

    def collect(self) -> Array:
        """See `Crew.collect`."""
        if len(self._workers) > 1:
            self._memory.average_buffers()
        return self._memory.buffers

    def close(self) -> None:
        """See `Crew.close`."""
        self._memory.release()


class LocalCrew(_SharedMemoryCrew):
    """One worker, in this process."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(assignment)
        self._workers[0].seat()
        self._batch: tuple[int, Batch] | None = None

    def _compute(self, iteration: int) -> list[PartResult]:
        worker = self._workers[0]
        if self._batch is None or self._batch[0] != iteration:
            self._batch = iteration, worker.batch(iteration)
        _, batch = self._batch
        if not self._update.evaluates_again:
            self._batch = None
        return [worker.compute(iteration, batch)]


class ForkedCrew(_SharedMemoryCrew):
    """Several workers, each a forked process with one thread. They end with this process, however it ends."""

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(assignment)
        self._pipes: list[connection.Connection[Any, Any]] = []
        self._processes: list[Any] = []
        try:
            for worker in self._workers:
                self._start(worker, assignment)
        except BaseException:
            self.close()
            raise

    def _start(self, worker: Worker, assignment: Assignment) -> None:
        context = get_context("fork")
        ours, theirs = context.Pipe()
        others, keeps_batch = [*self._pipes, ours], assignment.update.evaluates_again
        arguments = (worker, theirs, others, assignment.iteration, keeps_batch, os.getpid())
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._pipes.append(ours)
        self._processes.append(process)

    def _compute(self, iteration: int) -> list[PartResult]:
        for rank, pipe in enumerate(self._pipes):
            try:
                pipe.send(iteration)
            except OSError:
                self._raise_death(rank)
        return self._gather()

    def _gather(self) -> list[PartResult]:
        parts: dict[int, PartResult] = {}
        while len(parts) < len(self._pipes):
            missing = {self._pipes[rank]: rank for rank in range(len(self._pipes)) if rank not in parts}
            for ready in connection.wait(list(missing)):
                rank = missing[ready]  # type: ignore[index]
                try:
                    message = self._pipes[rank].recv()
                except (EOFError, OSError):
                    self._raise_death(rank)
                if isinstance(message, str):
                    raise WorkerError(f"training worker {rank} failed:\n{message}")
                parts[rank] = message
        return [parts[rank] for rank in range(len(self._pipes))]

    def _raise_death(self, rank: int) -> None:
        self._processes[rank].join(5)
        code = self._processes[rank].exitcode
        reason = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        hint = "; it may have run out of memory" if code == -signal.SIGKILL else ""
        raise WorkerError(f"training worker {rank} died: {reason}{hint}")

    def close(self) -> None:
        """Ask the workers to end, and kill those that are still busy half a second later."""
        for pipe in self._pipes:
            try:
                pipe.send(_STOP)
            except OSError:
                continue
        for process in self._processes:
            process.join(0.5)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self._pipes:
            pipe.close()
        super().close()


def _serve(worker: Worker, pipe: Any, others: list[Any], iteration: int, keeps_batch: bool, parent: int) -> None:
    """A forked worker's life: build a batch, wait for the step, compute, answer.

    keeps_batch: a step's batch is kept for the same step to be computed again.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:
        other.close()
    try:
        worker.seat()
        batches: dict[int, Batch] = {}
        while True:
            if iteration not in batches:
                batches[iteration] = worker.batch(iteration)
            asked = pipe.recv()
            if asked == _STOP:
                return
            if asked not in batches:
                batches[asked] = worker.batch(asked)
            batch = batches[asked]
            kept = {asked, asked + 1} if keeps_batch else {asked + 1}
            batches = {number: found for number, found in batches.items() if number in kept}
            pipe.send(worker.compute(asked, batch))
            iteration = asked + 1
            del batch
    except EOFError:
        return
    except BaseException:
        pipe.send(traceback.format_exc())
        sys.exit(1)
