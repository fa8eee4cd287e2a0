"""What Spark's tasks exchange, and for which of them a step waits: rounded numbers, nothing from the slow."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.nn.layer import Linear, LogSoftMax, Sequential, Tanh
from dlcore.nn.module import Module
from dlcore.optim.method import SGD
from dlcore.optim.optimizer import MaxIteration, Optimizer, SeveralIteration
from dlcore.optim.source import prepared
from dlcore.optim.worker import leave_gradient
from dlcore.rng import RNG
from dlcore.spark import crew
from dlcore.spark.epoch_order import EpochOrder
from dlcore.spark.sample_file import SampleColumns, arrays_of
from dlcore.spark.slice_store import open_block
from tests.dlcore.spark.test_optimizer import RECORDS, WIDTH, samples, weights
from tests.dlcore.spark.test_wire import nearest

pytestmark = pytest.mark.spark
STEPS, BATCH = 6, 24


def network() -> Sequential:
    RNG.set_seed(7)
    return Sequential().add(Linear(WIDTH, 9)).add(Tanh()).add(Linear(9, 2)).add(LogSoftMax())


def method() -> SGD:
    return SGD(0.2, momentum=0.9, dampening=0.0)


def optimizer(model, data, steps=STEPS):
    return Optimizer(model, data, ClassNLLCriterion(), MaxIteration(steps), BATCH, method(), is_quiet=True)


def slowly_rounded(values: np.ndarray) -> np.ndarray:
    return (np.array([nearest(value) for value in values], np.uint32) << 16).view(np.float32)


def trained_by_hand() -> np.ndarray:
    """The weights after STEPS on two partitions: gradients at rounded weights, rounded, their mean, a step in fp32."""
    model, sgd = network(), method()
    parameters = list(model.named_parameters().values())
    current, halves = weights(model), [0, RECORDS // 2, RECORDS]
    columns = SampleColumns(arrays_of(samples()))
    orders = [EpochOrder(RECORDS, BATCH, 1, *ends) for ends in pairwise(halves)]
    model.training()
    for step in range(STEPS):
        found, counts, seen = [], [], slowly_rounded(current)
        for order in orders:
            _, places = order.places(step)
            batch, grads, start = columns.batch(places), np.zeros_like(current), 0
            for parameter in parameters:
                stretch = slice(start, start + parameter.value.size)
                parameter.value = seen[stretch].reshape(parameter.value.shape)
                parameter.share_grad(grads[stretch])
                start = stretch.stop
            leave_gradient(model, ClassNLLCriterion(), parameters, *prepared(batch.input, batch.target, np.float32))
            found.append(slowly_rounded(grads))
            counts.append(len(places))
        shares = [np.float32(count / sum(counts)) for count in counts]
        sgd.update(current, found[0] * shares[0] + found[1] * shares[1])
    return current


@pytest.mark.parametrize("jobs", [1, 2])
def test_halves_are_exchanged_and_whole_numbers_changed(context, monkeypatch, tmp_path, jobs):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    collect, kinds = crew.SparkCrew.collect, {}

    def collecting(self):
        buffers = collect(self)
        for path in (*self._change.grads, *self._slices):
            kinds.update({name: array.dtype for name, array in open_block(path).items()})
        return buffers

    monkeypatch.setattr(crew.SparkCrew, "collect", collecting)
    rdd = context.parallelize(samples(), 2)
    made = optimizer(network(), rdd).set_wire_format("fp16").set_checkpoint(SeveralIteration(3), tmp_path, False)
    found = weights(made.optimize())
    np.testing.assert_array_equal(found, trained_by_hand())
    assert kinds["grads"] == np.uint16 and kinds["weights"] == np.float32
    assert kinds.get("sent") == (np.uint16 if jobs == 2 else None)
    resumed = optimizer(network(), rdd).set_wire_format("fp16").resume(tmp_path / "checkpoint-3.npz")
    np.testing.assert_array_equal(weights(resumed.optimize()), found)
    whole = weights(optimizer(network(), rdd).optimize())
    assert 1e-4 < np.abs(whole - found).max() < 0.05


@dataclass(eq=False)
class Uneven(Module):
    """Passes its input through. Partition 1 takes three seconds for its first pass; for its fifth an hour, but only when
    it is tried first. Each pass leaves a file in `folder`."""

    folder: str

    def apply(self, x):
        from pyspark import TaskContext

        if TaskContext.get().partitionId() == 1:
            done = len(os.listdir(self.folder))
            Path(self.folder, str(done)).touch()
            time.sleep({0: 3.0, 4: 3600.0}.get(done, 0.0))
        return x, lambda grad: grad


@pytest.mark.parametrize(("jobs", "most"), [(1, 0.5), (2, 0.5), (2, 0.2)])
def test_a_step_goes_on_without_a_slow_task_if_it_may(context, monkeypatch, tmp_path, jobs, most):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    rdd, found = context.parallelize(samples(), 2), {}
    for steps in (4, 5):
        folder = tmp_path / str(steps)
        folder.mkdir()
        model = network().add(Uneven(str(folder)))
        made = Optimizer(model, rdd, ClassNLLCriterion(), MaxIteration(steps), RECORDS + 1, SGD(0.2), is_quiet=True)
        found[steps] = made.set_drop_module_property(0.13, most, 4, 3).optimize()  # one task of eight
    expected = network()
    for name, parameter in expected.named_parameters().items():
        parameter.assign(found[4].named_parameters()[name].value)
    rest = samples()[: RECORDS // 2] if most == 0.5 else samples()
    Optimizer(expected, rest, ClassNLLCriterion(), MaxIteration(1), len(rest), SGD(0.2), is_quiet=True).optimize()
    np.testing.assert_allclose(weights(found[5]), weights(expected), rtol=1e-4, atol=1e-6)
    assert np.abs(weights(found[5]) - weights(found[4])).max() > 1e-3


def test_what_does_not_fit_the_exchange_is_refused(context):
    with pytest.raises(ValueError, match=r"fp16'.* with records on this machine"):
        optimizer(network(), samples()).set_wire_format("fp16").optimize()
    with pytest.raises(ValueError, match="with records on this machine"):
        optimizer(network(), samples()).set_drop_module_property(0.04, 0.1).optimize()
    assert optimizer(network(), samples(), 1).set_drop_module_property(0.0, 0.1).optimize()
    double = Sequential().add(Linear(WIDTH, 2, bigdl_type="double")).add(LogSoftMax())
    with pytest.raises(ValueError, match="weights that are not fp32"):
        optimizer(double, context.parallelize(samples(), 2)).set_wire_format("fp16").optimize()
