"""Workers: each computes the gradient of its part of a batch. One runs in this process, several are forked.

Forked workers share the weights and hand over gradients and running means in shared memory (anonymous, so that nothing is
left behind); pipes carry only step numbers and reports. A worker builds its next batch while the weights are being updated.
"""

import ctypes
import mmap
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, get_context
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from dlcore.activity import Activity, Array, as_activity, leaves
from dlcore.errors import WorkerError
from dlcore.kernels.memory import retain_freed_memory
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter
from dlcore.optim.source import BatchRequest
from dlcore.rng import RNG

_PR_SET_PDEATHSIG = 1
_STOP = -1


@dataclass(frozen=True)
class Report:
    """One worker's step: mean loss over its records, seconds to build the batch and to compute."""

    loss: float
    records: int
    data_s: float
    compute_s: float


@dataclass
class Memory:
    """The learned weights (P,), a row of gradients (P,) and of buffers (B,) for each worker."""

    weights: Array
    grads: Array
    buffers: Array

    @classmethod
    def of(cls, model: Module, workers: int) -> "Memory":
        """Memory that forked processes share, with the weights of `model` moved into it."""
        parameters = trainable(model)
        size = sum(parameter.value.size for parameter in parameters)
        kept = sum(buffer.value.size for buffer in model.buffers().values())
        memory = cls(_shared((size,)), _shared((workers, size)), _shared((workers, kept)))
        _seat(parameters, memory.weights, memory.grads[0])
        row = np.concatenate([b.value.reshape(-1) for b in model.buffers().values()] or [np.empty(0, np.float32)])
        memory.buffers[:] = row
        return memory

    def release(self, model: Module) -> None:
        """Give `model` weights of its own again, and the workers' mean buffers."""
        for parameter in trainable(model):
            parameter.value = parameter.value.copy()
            parameter.forget_grad()
        self.average_buffers(model)

    def average_buffers(self, model: Module) -> None:
        """Set the buffers of `model` to the mean over the workers."""
        mean = self.buffers.mean(axis=0, dtype=np.float64).astype(np.float32)
        offset = 0
        for buffer in model.buffers().values():
            end = offset + buffer.value.size
            buffer.value = mean[offset:end].reshape(buffer.value.shape).copy()
            offset = end


def trainable(model: Module) -> list[Parameter]:
    """The parameters that are not frozen, in order."""
    return [parameter for parameter in model.parameters().values() if not parameter.frozen]


def _shared(shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape))
    return np.frombuffer(mmap.mmap(-1, max(4 * count, 1)), np.float32, count).reshape(shape)


def _seat(parameters: list[Parameter], weights: Array, grads: Array) -> None:
    offset = 0
    for parameter in parameters:
        end = offset + parameter.value.size
        parameter.move_into(weights[offset:end], grads[offset:end])
        offset = end


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
        """Take this worker's rows of the shared memory; keep freed memory, for each step needs what the last one freed."""
        retain_freed_memory()
        parameters = trainable(self.model)
        offset = 0
        for parameter in parameters:
            end = offset + parameter.value.size
            parameter.share_grad(self.memory.grads[self.rank, offset:end])
            offset = end
        self._seat_buffers(list(self.model.buffers().values()))

    def _seat_buffers(self, buffers: list[Buffer]) -> None:
        offset = 0
        for buffer in buffers:
            end = offset + buffer.value.size
            buffer.value = self.memory.buffers[self.rank, offset:end].reshape(buffer.value.shape)
            offset = end

    def batch(self, iteration: int) -> tuple[Activity, Activity, float]:
        """(input, target, seconds) of a step."""
        start = perf_counter()
        base, extra = divmod(self.batch_size, self.workers)
        size = base + (1 if self.rank < extra else 0)
        x, target = self.source(BatchRequest(self.seed, self.rank, self.workers, iteration, size))
        return as_activity(x), as_activity(target), perf_counter() - start

    def compute(self, iteration: int, batch: tuple[Activity, Activity, float]) -> Report:
        """Leave the gradient of the mean loss in this worker's row."""
        x, target, data_s = batch
        start = perf_counter()
        RNG.set_seed(int(np.random.SeedSequence((self.seed, self.rank, iteration)).generate_state(1)[0]))
        self.memory.grads[self.rank].fill(0.0)
        records = len(next(iter(leaves(x))))
        if records == 0:
            return Report(0.0, 0, data_s, perf_counter() - start)
        y, pullback = self.model.apply(x)
        loss, gradient = self.criterion.apply(y, target)
        pullback(gradient())
        return Report(loss, records, data_s, perf_counter() - start)


class Crew(Protocol):
    """Workers that step together."""

    def step(self, iteration: int) -> list[Report]:
        """Compute step `iteration`; gradients are in the workers' rows of the memory afterwards."""

    def close(self) -> None:
        """End the workers."""


class LocalCrew:
    """One worker, in this process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        worker.seat()

    def step(self, iteration: int) -> list[Report]:
        return [self._worker.compute(iteration, self._worker.batch(iteration))]

    def close(self) -> None:
        """Nothing to end."""


class ForkedCrew:
    """Several workers, each a forked process with one thread. They end with this process, however it ends."""

    def __init__(self, workers: list[Worker], first_iteration: int) -> None:
        context = get_context("fork")
        self._pipes: list[connection.Connection[Any, Any]] = []
        self._processes: list[Any] = []
        for worker in workers:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(worker, theirs, [*self._pipes, ours], first_iteration, os.getpid()), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def step(self, iteration: int) -> list[Report]:
        """Have all workers compute the iteration's gradients; their reports by rank.

        Raises WorkerError when one has failed or died.
        """
        for rank, pipe in enumerate(self._pipes):
            try:
                pipe.send(iteration)
            except OSError:
                self._raise_death(rank)
        return self._gather()

    def _gather(self) -> list[Report]:
        reports: dict[int, Report] = {}
        while len(reports) < len(self._pipes):
            missing = {self._pipes[rank]: rank for rank in range(len(self._pipes)) if rank not in reports}
            for ready in connection.wait(list(missing)):
                rank = missing[ready]  # type: ignore[index]
                try:
                    message = self._pipes[rank].recv()
                except (EOFError, OSError):
                    self._raise_death(rank)
                if isinstance(message, str):
                    raise WorkerError(f"training worker {rank} failed:\n{message}")
                reports[rank] = message
        return [reports[rank] for rank in range(len(self._pipes))]

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


def _serve(worker: Worker, pipe: Any, others: list[Any], iteration: int, parent: int) -> None:
    """A forked worker's life: build a batch, wait for the step, compute, report."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:
        other.close()
    try:
        worker.seat()
        while True:
            batch = worker.batch(iteration)
            asked = pipe.recv()
            if asked == _STOP:
                return
            if asked != iteration:
                batch = worker.batch(asked)
            pipe.send(worker.compute(asked, batch))
            iteration = asked + 1
    except EOFError:
        return
    except BaseException:
        pipe.send(traceback.format_exc())
        sys.exit(1)
