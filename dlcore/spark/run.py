"""What a distributed training is, as Spark's workers are told it once, and what a worker keeps of it between its
tasks."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np

from dlcore.activity import Activity, Array
from dlcore.kernels.memory import retain_freed_memory
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.nn.parameter import stretches
from dlcore.optim.source import prepared
from dlcore.optim.update import Update
from dlcore.optim.worker import PartResult, leave_gradient
from dlcore.rng import RNG
from dlcore.spark.epoch_order import EpochOrder
from dlcore.spark.sample_file import SampleColumns
from dlcore.spark.shared import Shared, forget, local_folder
from dlcore.spark.slice_store import Sharing, SliceStore, open_block
from dlcore.spark.time_limit import TooSlowError, at_most
from dlcore.spark.wire import HALF, received, rounded


@dataclass(frozen=True)
class Run:
    """A training. starts: where each partition's records begin among all, and how many there are. slices: the stretches
    of the weights, each with an owner. buffers: the partitions' rows (partitions, B) of a resumed training. is_rounded:
    gradients and weights go from task to task as the upper 16 bits of fp32."""

    sharing: Sharing
    model: Module
    criterion: Criterion
    update: Update
    seed: int
    batch_size: int
    starts: tuple[int, ...]
    slices: tuple[tuple[int, int], ...]
    buffers: Array | None
    is_rounded: bool = False


@dataclass(frozen=True)
class Turn:
    """A step, by the iteration's number, and for how many seconds a task may compute in it."""

    iteration: int
    limit_s: float = math.inf


def seat_of(shared: Shared) -> Seat:
    """The run in this worker, which takes it in once, until another run takes its seat."""
    if shared.token not in _SEATS:
        leave_seats()
        _SEATS[shared.token] = Seat(shared.value())
    return _SEATS[shared.token]


def leave_seats() -> None:
    """Let go of a run and its memory; one that comes back is unpickled anew, for steps have changed its model."""
    for token in _SEATS:
        forget(token)
    _SEATS.clear()


@dataclass
class Seat:
    """A run in a Python worker: the model, whose weights are seen where the store has them."""

    run: Run
    initial: dict[str, Array] = field(init=False)
    _orders: dict[int, EpochOrder] = field(init=False, default_factory=dict)
    _columns: dict[str, SampleColumns] = field(init=False, default_factory=dict)
    _pieces: dict[int, Update] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        retain_freed_memory()
        model, self.parameters = self.run.model, self.run.update.parameters
        model.training()
        self.held = list(model.buffers().values())
        self.kind = np.result_type(np.float32, *{parameter.value.dtype for parameter in self.parameters})
        self.initial = {"weights": _flat(self.parameters, self.kind), "buffers": _flat(self.held, self.kind)}
        self.size = len(self.initial["weights"])

    @property
    def state_bytes(self) -> int:
        """What the blocks of a node may need at once: of three steps the gradient of each partition, and weights with
        two slots of each partition or, in slices, of all together. There may be twice as many partitions as cores."""
        partitions = min(len(self.run.starts) - 1, 2 * (os.cpu_count() or 1))
        copies = 3 * partitions + 9 * partitions // len(self.run.slices)
        return copies * self.size * np.dtype(self.kind).itemsize

    def seen(self, weights: Array) -> Array:
        """The weights at which gradients are computed, whether or not they have gone from task to task."""
        return received(rounded(weights)) if self.run.is_rounded else weights

    @cached_property
    def _unrounded(self) -> Array:
        """Where the model leaves gradients that are rounded afterwards."""
        return np.empty(self.size, self.kind)

    @cached_property
    def store(self) -> SliceStore:
        """The run's store on this node."""
        return SliceStore.of(self.run.sharing, local_folder(), self.state_bytes)

    def gradient(
        self, partition: int, samples: str, turn: Turn, weights: Array, buffers: Array, name: str
    ) -> tuple[str, PartResult]:
        """Leave the gradient of a partition's part of a batch at `weights` in block `name`; gives its path, and the
        loss. Beyond the turn's limit of time it is that of no records."""
        start = perf_counter()
        sent = HALF if self.run.is_rounded else self.kind
        draft = self.store.draft(name, {"grads": ((self.size,), sent), "buffers": (buffers.shape, self.kind)})
        try:
            grads = self._unrounded if self.run.is_rounded else draft.arrays["grads"]
            grads.fill(0.0)
            draft.arrays["buffers"][...] = buffers
            self._sit(weights, grads, draft.arrays["buffers"])
            x, target, seeds = self._batch(partition, samples, turn.iteration)
            data_s, is_dropped = perf_counter() - start, False
            try:
                with at_most(turn.limit_s):
                    loss = self._loss(partition, turn.iteration, x, target, seeds) if seeds else 0.0
            except TooSlowError:
                loss, seeds, is_dropped = 0.0, [], True
                grads.fill(0.0)
                draft.arrays["buffers"][...] = buffers
            if self.run.is_rounded:
                rounded(grads, draft.arrays["grads"])
            path = draft.publish()
        finally:
            draft.drop()
        return path, PartResult(loss, len(seeds), data_s, perf_counter() - start - data_s, is_dropped)

    def _loss(self, partition: int, iteration: int, x: Activity, target: Activity, seeds: list[int]) -> float:
        """The loss of a batch; its gradient is added to where the model has it."""
        RNG.set_seed(crc32(f"{self.run.seed} {iteration} {partition}".encode()))
        with RNG.by_row(seeds):
            return leave_gradient(self.run.model, self.run.criterion, self.parameters, x, target)

    def _sit(self, weights: Array, grads: Array, buffers: Array) -> None:
        for parameter, place in stretches(self.parameters):
            parameter.value = weights[place].reshape(parameter.value.shape)
            parameter.share_grad(grads[place])
        for buffer, place in stretches(self.held):
            buffer.value = buffers[place].reshape(buffer.value.shape)

    def _batch(self, partition: int, samples: str, iteration: int) -> tuple[Activity, Activity, list[int]]:
        """Input, target and a seed for each record."""
        run = self.run
        start, stop = run.starts[partition : partition + 2]
        order = self._orders.setdefault(partition, EpochOrder(run.starts[-1], run.batch_size, run.seed, start, stop))
        epoch, places = order.places(iteration)
        if not len(places):
            return np.empty(0, self.kind), np.empty(0, self.kind), []
        if samples not in self._columns:
            self._columns[samples] = SampleColumns(open_block(samples, is_read_whole=False))
        batch = self._columns[samples].batch(places - start)
        seeds = [crc32(f"{run.seed} {epoch} {place}".encode()) for place in places]
        return *prepared(batch.input, batch.target, self.kind), seeds

    def piece(self, place: int) -> Update:
        """The update of slice `place`, with methods of its own; their state is what they are given for each step."""
        if place not in self._pieces:
            self._pieces[place] = self.run.update.cut(*self.run.slices[place])
        return self._pieces[place]

    def start(self, place: int) -> dict[str, Array]:
        """Slice `place` before the first step: its weights, and the methods' slots of a resumed training."""
        low, high = self.run.slices[place]
        update = self.run.update.cut(low, high)
        return {"weights": self.initial["weights"][low:high], **slots_of(update)}


def slots_of(update: Update) -> dict[str, Array]:
    """The arrays that the methods of a slice keep, by names of their own."""
    return {
        f"slot/{number}/{name}": value
        for number, part in enumerate(update.parts)
        for name, value in part.method.slots.items()
    }


def set_slots(update: Update, states: Mapping[str, Mapping[str, Any]], arrays: Mapping[str, Array]) -> None:
    """Let the methods of a slice go on from `states`, by the parts' names, with these arrays, which they change in
    place."""
    for number, part in enumerate(update.parts):
        prefix = f"slot/{number}/"
        part.method.restore({**states[part.name], "slots": []}, {})
        part.method.slots = {
            name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)
        }


def _flat(holders: Sequence[Any], kind: Any) -> Array:
    return np.concatenate([np.empty(0, kind), *(holder.value.reshape(-1) for holder in holders)]).astype(kind)


_SEATS: dict[str, Seat] = {}
