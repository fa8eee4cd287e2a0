"""The crew of a distributed training: each step is one Spark job, or two where the weights are many; or one or two
orders to tasks that stay."""

from __future__ import annotations

import logging
import secrets
import tempfile
from functools import partial

import numpy as np

from dlcore.activity import Array
from dlcore.errors import WorkerError
from dlcore.nn.parameter import stretches
from dlcore.optim.crew import Assignment, StepResult, mean_loss
from dlcore.optim.schedule import Progress
from dlcore.optim.update import combine
from dlcore.optim.worker import PartResult
from dlcore.spark import steps
from dlcore.spark.blocks import BlockLostError
from dlcore.spark.dataset import SparkSource
from dlcore.spark.gang import Gang
from dlcore.spark.run import Run, Turn, set_slots
from dlcore.spark.shared import Shared
from dlcore.spark.slice_store import Sharing, fetched, folder_of, open_block, remove_store
from dlcore.spark.time_limit import TimeLimit
from dlcore.spark.wire import received

logger = logging.getLogger(__name__)

ONE_JOB_VALUES = 1 << 23
"""Up to so many values in all partitions' gradients together a step is one job: reading them all costs less than a
second job."""


APART = False
"""Whether executors of one machine fetch one another's blocks as those of different machines do: to test and to measure
that."""


class SparkCrew:
    """Trains on the partitions of a SparkSource; see `Crew`. The driver holds no weights but when it is asked for
    them."""

    def __init__(self, assignment: Assignment, source: SparkSource) -> None:
        a = assignment
        if a.update.evaluates_again:
            raise ValueError(
                f"Optimizer: got {', '.join(type(m).__name__ for m in a.update.methods.values())}, which looks at the "
                f"loss several times "
                "in a step, with an RDD; expected another method, or the records as a list: rdd.collect()"
            )
        self._assignment, self._source, self._update = a, source, a.update
        self._size = a.update.parts[-1].stop if a.update.parts else 0
        self.jobs = 1 if self._size * source.workers <= ONE_JOB_VALUES else 2
        slices = a.update.slices(source.workers) if self.jobs == 2 else [(0, self._size)]
        is_rounded = a.exchange.wire == "fp16"
        if is_rounded and any(parameter.value.dtype != np.float32 for parameter in a.update.parameters):
            raise ValueError("Optimizer: got the wire format fp16 and weights that are not fp32, expected fp32 weights")
        self._context = source.rdd.ctx
        sharing = Sharing(secrets.token_hex(16), not self._context.master.startswith("local"), APART)
        self._run = Run(
            sharing, a.model, a.criterion, a.update, a.seed, a.batch_size, source.starts, tuple(slices), a.buffers,
            is_rounded,
        )  # fmt: skip
        for parameter in a.update.parameters:
            parameter.forget_grad()
        self._shared = Shared.of(self._context, self._run)
        self._limit = None if a.exchange.dropping is None else TimeLimit(a.exchange.dropping)
        self._gang = Gang(source, self._shared, sharing.token) if a.exchange.gang else None
        self._change: steps.Change | None = None
        self._slices: tuple[str, ...] = ()
        """Blocks of the weights before `_change`."""

    def step(self, iteration: int, progress: Progress) -> StepResult:
        """See `Crew.step`."""
        answers, parts = self._gradients(iteration)
        loss = mean_loss(parts, iteration)
        records = tuple(part.records for part in parts)
        grads = tuple(answer.grads for answer in answers)
        states = {name: method.state() for name, method in self._update.methods.items()}
        self._change = steps.Change(iteration, self._slices, grads, records, progress, states)
        for method in self._update.methods.values():
            method.begin(progress)
        rates = {name: method.current_rate for name, method in self._update.methods.items()}
        if self.jobs == 2:
            self._slices = self._changed(self._change)
        return StepResult(loss, sum(records), rates, parts)

    def _gradients(self, iteration: int) -> tuple[list[steps.Answer], list[PartResult]]:
        """All partitions' gradients, without those of slow tasks if there are enough others."""
        if self._limit is None:
            return self._parts(Turn(iteration))
        answers, parts = self._parts(Turn(iteration, self._limit.seconds))
        if not self._limit.allows(parts):
            logger.warning("too many tasks were slow in iteration %d: computing it without a limit", iteration + 1)
            answers, parts = self._parts(Turn(iteration))
        self._limit.note(parts)
        return answers, parts

    def _parts(self, turn: Turn) -> tuple[list[steps.Answer], list[PartResult]]:
        answers = self._turned(turn)
        return answers, [answer.part for answer in answers if answer.part is not None]

    def _turned(self, turn: Turn) -> list[steps.Answer]:
        if self.jobs == 2:
            return self._asked(steps.Order(steps.gradient_step, (turn, self._slices, self._change)))
        answers = self._asked(steps.Order(steps.whole_step, (turn, self._change)))
        if self._change is not None:
            self._slices = tuple(answer.state for answer in answers)
        return answers

    def _changed(self, change: steps.Change) -> tuple[str, ...]:
        answers = self._asked(steps.Order(steps.change_step, (change,)))
        return tuple(answer.state for answer in answers if answer.state)

    def _asked(self, order: steps.Order, partitions: list[int] | None = None) -> list[steps.Answer]:
        """The answers to an order, of all partitions unless given, in their order. If something was lost it is asked
        once more; with new files of samples, if a task does not run where its samples are.

        Raises:
            WorkerError: Spark gave up, or a block is lost for good.
        """
        found = self._answers(order, partitions)
        if any(answer.lost for answer in found):
            if not all(answer.has_samples for answer in found):
                self.rest()
                self._source.keep_again()
            found = self._answers(order, partitions)
        if lost := [answer for answer in found if answer.lost]:
            raise WorkerError(f"training on Spark lost what it had on partition {lost[0].partition}: {lost[0].lost}")
        return sorted(found, key=lambda answer: answer.partition)

    def _answers(self, order: steps.Order, partitions: list[int] | None) -> list[steps.Answer]:
        if self._gang is not None and partitions is None:
            return self._gang.answers(order)
        job = self._source.kept.mapPartitionsWithIndex(partial(steps.on_spark, self._shared, order))
        try:
            found: list[steps.Answer] = (
                job.collect() if partitions is None else self._context.runJob(job, list, partitions)
            )
        except Exception as error:
            raise WorkerError(f"training on Spark failed: {error}") from error
        return found

    def rest(self) -> None:
        """Give a gang's slots to Spark's other jobs, until the next step."""
        if self._gang is not None:
            self._gang.dismiss()

    # --- looking at it ----------------------------------------------------------------------------------------------

    def collect(self) -> Array:
        """See `Crew.collect`."""
        self.rest()
        if self._change is None:
            rows = self._initial_buffers()
            self._take_buffers(rows)
            return rows
        blocks = [self._read(path) for path in self._changed_slices(self._change)]
        self._take_weights(np.concatenate([block["weights"] for block in blocks]))
        pieces = [self._update.cut(*bounds) for bounds in self._run.slices]
        states = {name: method.state() for name, method in self._update.methods.items()}
        for piece, block in zip(pieces, blocks, strict=True):
            set_slots(piece, states, {name: np.array(value) for name, value in block.items()})
        rates = {name: method.current_rate for name, method in self._update.methods.items()}
        self._update.join(pieces)
        for name, method in self._update.methods.items():
            method.current_rate = rates[name]
        grads = [received(self._read(path)["grads"]) for path in self._change.grads]
        self._take_grads(combine(grads, self._change.records, np.empty(self._size, grads[0].dtype)))
        buffers = np.stack([np.array(self._read(path)["buffers"]) for path in self._change.grads])
        self._take_buffers(buffers)
        return buffers

    def _changed_slices(self, change: steps.Change) -> tuple[str, ...]:
        """The blocks of the weights after the latest step."""
        if self.jobs == 2:
            return self._slices
        return (self._asked(steps.Order(steps.change_alone, (change,)), [0])[0].state,)

    def _read(self, path: str) -> dict[str, Array]:
        """The arrays of a block.

        Raises:
            WorkerError: it is lost for good, or Spark gave up.
        """
        try:
            return open_block(path)
        except BlockLostError:
            try:
                return self._read_elsewhere(path)
            except Exception as error:
                raise WorkerError(f"training on Spark lost a block: {error}") from error

    def _read_elsewhere(self, path: str) -> dict[str, Array]:
        endpoint, _, place = path.partition("|")
        if endpoint:
            return fetched(endpoint, place, self._run.sharing.token)
        job = self._source.kept.mapPartitionsWithIndex(steps.read_step(self._shared, path))
        found: dict[str, Array] = self._context.runJob(job, list, [0])[0]
        return found

    def _initial_buffers(self) -> Array:
        a = self._assignment
        if a.buffers is not None:
            return a.buffers
        held = [buffer.value.reshape(-1) for buffer in a.model.buffers().values()]
        row = np.concatenate([np.empty(0, np.float32), *held])
        return np.tile(row, (self._source.workers, 1))

    def _take_weights(self, weights: Array) -> None:
        for parameter, place in stretches(self._update.parameters):
            parameter.assign(weights[place])

    def _take_grads(self, grads: Array) -> None:
        """The latest step's gradient, before clipping, for summaries."""
        for parameter, place in stretches(self._update.parameters):
            parameter.share_grad(grads[place])

    def _take_buffers(self, rows: Array) -> None:
        """Their mean, in which each partition counts by its records."""
        mean = np.average(rows, axis=0, weights=np.diff(self._run.starts)).astype(rows.dtype)
        for buffer, place in stretches(list(self._assignment.model.buffers().values())):
            buffer.value = mean[place].reshape(buffer.value.shape).copy()

    def close(self) -> None:
        """See `Crew.close`; the weights are those of the last `collect`."""
        for parameter in self._update.parameters:
            parameter.forget_grad()
        self.rest()
        try:
            self._source.kept.mapPartitionsWithIndex(steps.remove_step(self._run.sharing.token)).collect()
            self._shared.destroy()
        except Exception:
            folder = folder_of(self._run.sharing.token)
            logger.warning("could not remove the blocks in %s from Spark's workers", folder, exc_info=True)
        remove_store(self._run.sharing.token, tempfile.gettempdir())
