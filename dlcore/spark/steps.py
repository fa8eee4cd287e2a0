"""What the tasks of a step do, on Spark's workers: change slices of the weights, compute gradients.

A step in one job: each task does the change of the step before for all weights, and computes its gradient at them. In
two jobs: each owner does the change for its slice; then each task puts the slices together and computes its gradient.
Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.optim.schedule import Progress
from dlcore.optim.update import combine
from dlcore.optim.worker import PartResult
from dlcore.spark.blocks import BlockLostError
from dlcore.spark.run import Seat, Turn, leave_seats, seat_of, set_slots, slots_of
from dlcore.spark.shared import Shared, local_folder
from dlcore.spark.slice_store import has_block, remove_store
from dlcore.spark.wire import received, rounded

SENT = "sent"
"""The array of a slice's block that other tasks fetch where weights are rounded."""


@dataclass(frozen=True)
class Change:
    """A step's change of the weights, still to be made.

    slices: the paths of the blocks of all slices before it, none at the start; of a step in one job, of each
    partition's block of all.
    grads, records: of each partition. states: of the methods, by their names.
    """

    iteration: int
    slices: tuple[str, ...]
    grads: tuple[str, ...]
    records: tuple[int, ...]
    progress: Progress
    states: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a task says: its partition, and what it has made, or what it has not found; has_samples: whether those are
    where it ran."""

    partition: int
    state: str = ""
    grads: str = ""
    part: PartResult | None = None
    lost: str = ""
    has_samples: bool = True


@dataclass(frozen=True)
class Order:
    """What the tasks of all partitions are to do: `work`, a function of this file, and what it is told beside its
    seat, its partition and the path of its samples."""

    work: Callable[..., Answer]
    told: tuple[Any, ...]

    def done(self, seat: Seat, partition: int, samples: str) -> Answer:
        """Do it. A block that is lost is an answer, no failure, which Spark would try again in vain."""
        try:
            return self.work(seat, partition, samples, *self.told)
        except BlockLostError as error:
            return Answer(partition, lost=str(error), has_samples=has_block(samples))


def on_spark(shared: Shared, order: Order, partition: int, kept: Iterator[Any]) -> Iterator[Answer]:
    """A Spark task that does an order and ends."""
    (samples,) = (each.path for each in kept)
    yield order.done(seat_of(shared), partition, samples)


def whole_step(seat: Seat, partition: int, samples: str, turn: Turn, change: Change | None) -> Answer:
    """A step in one job."""
    path, weights = "", seat.initial["weights"]
    if change is not None:
        path = changed_slice(seat, change, 0, f"state.{turn.iteration}.{partition}", partition)
        weights = seat.store.open(path)["weights"]
    answer = _gradient(seat, partition, samples, turn, seat.seen(weights), change, path)
    seat.store.free_until(turn.iteration - 2)
    return answer


def gradient_step(
    seat: Seat, partition: int, samples: str, turn: Turn, slices: tuple[str, ...], change: Change | None
) -> Answer:
    """The gradient at the weights in the blocks `slices`, none at the start. change: the one that made them."""
    weights = gathered(seat, slices)
    answer = _gradient(seat, partition, samples, turn, weights, change, "")
    seat.store.free_until(turn.iteration - 2)
    return answer


def change_step(seat: Seat, partition: int, samples: str, change: Change) -> Answer:
    """The change, by the owners of the slices."""
    if partition >= len(seat.run.slices):
        return Answer(partition)
    path = changed_slice(seat, change, partition, f"slice.{change.iteration}.{partition}")
    seat.store.free_until(change.iteration - 2)
    return Answer(partition, path)


def change_alone(seat: Seat, partition: int, samples: str, change: Change) -> Answer:
    """The change of all weights by one task, for the driver to look at, which copies them before it asks again."""
    seat.store.free("shown")
    return Answer(partition, changed_slice(seat, change, 0, "shown", partition))


def read_step(shared: Shared, address: str) -> Callable[[int, Iterator[Any]], Iterator[Any]]:
    """The arrays of a block, for a driver on another node."""

    def task(partition: int, kept: Iterator[Any]) -> Iterator[Any]:
        list(kept)
        yield {name: np.array(value) for name, value in seat_of(shared).store.open(address).items()}

    return task


def remove_step(token: str) -> Callable[[int, Iterator[Any]], Iterator[Any]]:
    """Remove the run's blocks on the task's node."""

    def task(partition: int, kept: Iterator[Any]) -> Iterator[Any]:
        list(kept)
        leave_seats()
        remove_store(token, local_folder())
        yield partition

    return task


def gathered(seat: Seat, slices: Sequence[str]) -> Array:
    """All weights at which gradients are computed, from the slices' blocks."""
    if not slices:
        return seat.seen(seat.initial["weights"])
    weights, name = np.empty(seat.size, seat.kind), SENT if seat.run.is_rounded else "weights"
    for (low, high), path in zip(seat.run.slices, slices, strict=True):
        weights[low:high] = received(seat.store.stretch(path, name, 0, high - low))
    return weights


def changed_slice(seat: Seat, change: Change, place: int, name: str, replica: int | None = None) -> str:
    """Make the change for slice `place`, in a block `name`; gives its path. replica: which block of the state to look
    at first, where each partition has one of all weights, so that none are sent."""
    piece, store = seat.piece(place), seat.store
    old = _state(seat, change, place, replica)
    grads, squared_norm = _combined(seat, change, place)
    draft = store.draft(name, {key: (value.shape, value.dtype) for key, value in old.items()})
    try:
        for key, value in old.items():
            draft.arrays[key][...] = value
        set_slots(piece, change.states, draft.arrays)
        piece.change(draft.arrays["weights"], grads, squared_norm, change.progress)
        made = {"weights": draft.arrays["weights"], **slots_of(piece)}
        if seat.run.is_rounded and replica is None:
            made[SENT] = rounded(made["weights"])
        if made.keys() == draft.arrays.keys():
            for key, value in made.items():
                if value.ctypes.data != draft.arrays[key].ctypes.data:  # a method may replace its array
                    draft.arrays[key][...] = value
            return draft.publish()
    finally:
        draft.drop()
    return store.write(name, made)


def _state(seat: Seat, change: Change, place: int, replica: int | None) -> dict[str, Array]:
    if not change.slices:
        return seat.start(place)
    if replica is None:
        return seat.store.open(change.slices[place])
    for path in (change.slices[replica], *change.slices):
        try:
            return seat.store.open(path)
        except BlockLostError as error:
            lost = error
    raise lost


def _combined(seat: Seat, change: Change, place: int) -> tuple[Array, float]:
    """The gradient of a slice, its values clipped, and the squared norm of all of it, if it is limited."""

    def of(number: int) -> tuple[Array, float]:
        low, high = seat.run.slices[number]
        rows = [received(seat.store.stretch(address, "grads", low, high)) for address in change.grads]
        grads = combine(rows, change.records, np.empty(high - low, seat.kind))
        return grads, seat.piece(number).clip_values(grads)

    if seat.run.update.clipping.norm is None:
        return of(place)
    parts = [of(number) for number in range(len(seat.run.slices))]
    return parts[place][0], sum(squared for _, squared in parts)


def _gradient(
    seat: Seat, partition: int, samples: str, turn: Turn, weights: Array, change: Change | None, state: str
) -> Answer:
    buffers = seat.initial["buffers"] if seat.run.buffers is None else seat.run.buffers[partition]
    if change is not None:
        buffers = seat.store.open(change.grads[partition], is_read_whole=False)["buffers"]
    name = f"grads.{turn.iteration}.{partition}"
    path, part = seat.gradient(partition, samples, turn, weights, buffers, name)
    return Answer(partition, state, path, part)
