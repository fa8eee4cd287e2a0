"""What a worker keeps of a run between its tasks."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np

from dlcore.nn.criterion import MSECriterion
from dlcore.nn.layer import BatchNormalization, Linear, Sequential
from dlcore.optim.method import SGD
from dlcore.optim.update import Clipping, Update
from dlcore.spark import run, shared
from dlcore.spark.run import Run, Seat, seat_of
from dlcore.spark.shared import Shared
from dlcore.spark.slice_store import Sharing


def test_a_run_that_comes_back_begins_at_its_own_weights(monkeypatch):
    monkeypatch.setattr(shared, "spare_tasks_time", lambda: None)  # this process goes on
    monkeypatch.setattr(run, "retain_freed_memory", lambda: None)
    model = Sequential().add(Linear(3, 3)).add(BatchNormalization(3))
    update = Update.of(model, {"": SGD()}, Clipping())
    work = Run(Sharing("a token"), model, MSECriterion(), update, 1, 2, (0, 2), ((0, update.parts[-1].stop),), None)
    mine, others = (Shared(name, SimpleNamespace(value=pickle.dumps(work))) for name in ("mine", "others"))
    try:
        seat = seat_of(mine)
        expected = {name: value.copy() for name, value in seat.initial.items()}
        take_step(seat)
        assert seat_of(mine) is seat
        seat_of(others)
        again = seat_of(mine)
        for name, value in expected.items():
            np.testing.assert_array_equal(again.initial[name], value)
    finally:
        run.leave_seats()
    assert not {"mine", "others"} & shared._VALUES.keys()


def take_step(seat: Seat) -> None:
    """Let the model see other weights and running means."""
    weights, buffers = seat.initial["weights"], seat.initial["buffers"]
    seat._sit(weights + 1, np.zeros_like(weights), buffers + 1)
