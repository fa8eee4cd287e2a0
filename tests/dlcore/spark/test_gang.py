"""A gang trains to the bits of steps that are jobs, leaves Spark to others in between, and outlives its tasks."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.optim.adaptive import Adam
from dlcore.optim.metric import Loss
from dlcore.optim.optimizer import MaxIteration, Optimizer, SeveralIteration
from dlcore.spark import crew, gang
from tests.dlcore.spark.test_optimizer import (
    BATCH,
    Dying,
    Failing,
    network,
    optimizer,
    samples,
    small,
    trained_by_all_methods,
    weights,
)

pytestmark = pytest.mark.spark


def trained(context, model, steps=6, folder=None):
    """The weights of a gang's training; in `folder` its checkpoints."""
    made = optimizer(model, context.parallelize(samples(), 2), steps, Adam(0.01)).set_gang()
    if folder is not None:
        made.set_checkpoint(SeveralIteration(2), folder, False)
    return weights(made.optimize())


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_weights_are_those_of_steps_that_are_jobs(context, monkeypatch, tmp_path, jobs):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    expected, data = trained_by_all_methods(context, 2), context.parallelize(samples(), 2)
    made = optimizer(network(), data).set_gradclip_const(-0.2, 0.2).set_gradclip_l2norm(0.5).set_gang()
    made.set_validation(BATCH, data, SeveralIteration(9), [Loss()]).set_checkpoint(SeveralIteration(8), tmp_path)
    calls = count_calls(monkeypatch)
    np.testing.assert_array_equal(weights(made.optimize()), expected)
    assert len(calls) == 5  # at the start, and after steps 8, 9, 16 and 18
    assert {*made.state.history} == {"Loss"}


def count_calls(monkeypatch):
    gather, calls = gang.Gang._gather, []
    monkeypatch.setattr(gang.Gang, "_gather", lambda self: calls.append(1) or gather(self))
    return calls


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_task_changes_no_bit(context, monkeypatch, tmp_path, jobs):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    calls, found = count_calls(monkeypatch), []
    for name in ("whole", "dying"):
        place = tmp_path / name
        if name == "whole":
            place.touch()
        found.append(trained(context, small(Dying(str(place)))))
        assert place.exists()
    np.testing.assert_array_equal(*found)
    assert len(calls) == 3


def test_what_fails_each_time_is_told_and_goes_on_from_the_latest_checkpoint(context, tmp_path):
    (tmp_path / "whole").touch()
    expected = trained(context, small(Failing(str(tmp_path / "whole"))))
    with pytest.raises(gang.WorkerError, match="as asked"):
        trained(context, small(Failing(str(tmp_path / "failing"))))
    found = trained(context, small(Failing(str(tmp_path / "again"))), folder=tmp_path / "checkpoints")
    np.testing.assert_array_equal(found, expected)
    assert Path(f"{tmp_path}/again.begun").read_text() == "x" * gang.TRIES


def test_samples_that_are_gone_are_written_again(context):
    found = []
    for is_lost in (False, True):
        made = optimizer(small(), context.parallelize(samples(), 2), 3, Adam(0.01)).set_gang()
        if is_lost:
            assert made.source.records
            for kept in made.source.kept.collect():
                Path(kept.path.removeprefix("|")).unlink()
        found.append(weights(made.optimize()))
    np.testing.assert_array_equal(*found)


def test_who_does_not_know_the_token_is_no_task(context, monkeypatch, caplog):
    expected, run = trained(context, small(), 2), gang.Gang._run

    def run_after_strangers(self, task):
        (_, place) = task.args
        for said in (b"", bytes(50), b"\0\0\0\x20#WELCOME# or something like it.."):
            with socket.create_connection(place) as line:
                line.sendall(said)
        run(self, task)

    monkeypatch.setattr(gang.Gang, "_run", run_after_strangers)
    np.testing.assert_array_equal(trained(context, small(), 2), expected)
    assert caplog.text.count("without the training's token") == 3


def test_a_gang_that_is_larger_than_spark_is_refused(context):
    data = context.parallelize(samples(), 3)
    made = Optimizer(small(), data, ClassNLLCriterion(), MaxIteration(1), BATCH, Adam(), is_quiet=True)
    with pytest.raises(ValueError, match="got 3 partitions for a gang and 2 slots"):
        made.set_gang().optimize()
    with pytest.raises(ValueError, match="with records on this machine"):
        optimizer(small(), samples(), 1, Adam()).set_gang().optimize()
    assert made.set_gang(False).optimize() is made.model


def test_executors_that_come_late_are_waited_for(monkeypatch):
    slots = iter([0, 1, 2])
    monkeypatch.setattr(gang, "_slots", lambda context: next(slots))
    monkeypatch.setattr(gang, "LOOK_EVERY_S", 0.0)
    source = SimpleNamespace(workers=2, rdd=SimpleNamespace(ctx=SimpleNamespace(master="spark://somewhere")))
    gang.Gang(source, None, "a token")
    monkeypatch.setattr(gang, "COME_S", 0.0)
    monkeypatch.setattr(gang, "_slots", lambda context: 1)
    with pytest.raises(ValueError, match="got 2 partitions for a gang and 1 slots"):
        gang.Gang(source, None, "a token")
