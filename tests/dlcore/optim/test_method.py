"""Optimisation methods, schedules and triggers."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.errors import CheckpointError
from dlcore.optim.adaptive import Adadelta, Adagrad, Adam, Adamax, AdamW, Ftrl, Lamb, LarsSGD, ParallelAdam, RMSprop
from dlcore.optim.archive import write_archive
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.method import SGD, Evaluation, OptimMethod
from dlcore.optim.schedule import (
    Cosine,
    Default,
    Exponential,
    MultiStep,
    NaturalExp,
    Plateau,
    Poly,
    Progress,
    Schedule,
    SequentialSchedule,
    Step,
    Warmup,
)
from dlcore.optim.trigger import (
    EveryEpoch,
    MaxEpoch,
    MaxIteration,
    MaxScore,
    MinLoss,
    SeveralIteration,
    TrainingState,
    TriggerAnd,
    TriggerOr,
)
from dlcore.testing import check_optim_method

METHODS = {
    "SGD": lambda: SGD(0.1),
    "SGD-momentum": lambda: SGD(0.05, momentum=0.9, dampening=0.0, weightdecay=1e-3),
    "SGD-nesterov": lambda: SGD(0.05, momentum=0.9, dampening=0.0, nesterov=True),
    "SGD-plateau": lambda: SGD(0.1, leaningrate_schedule=Plateau("Loss")),
    "Adam": lambda: Adam(0.05, leaningrate_schedule=Cosine(200)),
    "Adam-decay": lambda: Adam(0.05, weightdecay=1e-3),
    "ParallelAdam": lambda: ParallelAdam(0.05),
    "Adagrad": lambda: Adagrad(0.5),
    "Adadelta": lambda: Adadelta(0.9, 1e-3),
    "Adamax": lambda: Adamax(0.05),
    "RMSprop": lambda: RMSprop(0.05),
    "Ftrl": lambda: Ftrl(0.5),
    "LarsSGD": lambda: LarsSGD(learningrate=0.05, weightdecay=1e-3),
    "LBFGS": lambda: LBFGS(max_iter=2, learningrate=0.1),
    "LBFGS-wolfe": lambda: LBFGS(max_iter=3, linesearch="wolfe", linesearch_options={"c2": 0.5}),
    "AdamW": lambda: AdamW(0.05, weightdecay=1e-3),
    "Lamb": lambda: Lamb(0.05, weightdecay=1e-3),
}


@pytest.mark.parametrize("name", METHODS)
def test_method(name):
    check_optim_method(METHODS[name])


def test_nothing_escapes_its_harness():
    ours = {kind.__name__ for kind in OptimMethod.registry.values() if kind.__module__.startswith("dlcore.")}
    assert ours == {name.split("-")[0] for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_a_loaded_method_goes_on_as_if_it_had_not_been_saved(name, tmp_path):
    method, weights = METHODS[name](), np.linspace(-1, 2, 5, dtype=np.float32)

    def step(method, weights):
        def again():
            return float(np.square(weights).sum()), 2 * weights

        method.update(
            weights, 2 * weights, Progress(epoch=method.steps + 1, loss=1.0), (2, 5), Evaluation(again()[0], again)
        )

    for _ in range(3):
        step(method, weights)
    method.save(tmp_path / "method.npz")
    loaded, other = OptimMethod.load(tmp_path / "method.npz"), weights.copy()
    assert (type(loaded), loaded.current_rate) == (type(method), method.current_rate)
    for _ in range(3):
        step(method, weights)
        step(loaded, other)
    np.testing.assert_array_equal(other, weights)


def test_a_method_is_saved_with_its_arguments(tmp_path):
    path = tmp_path / "method.npz"
    schedule = SequentialSchedule(5).add(Warmup(0.1), 3).add(Poly(1.0, 10), 10)
    method = SGD(0.1, momentum=0.5, leaningrate_schedule=schedule, learningrates=np.array([1.0, 0.5], np.float32))
    method.save(path)
    loaded = OptimMethod.load(path)
    assert (loaded.momentum, loaded.leaningrate_schedule) == (0.5, schedule)
    np.testing.assert_array_equal(loaded.learningrates, [1.0, 0.5])
    with pytest.raises(FileExistsError, match="pass overWrite=True"):
        method.save(path)
    Adam(np.float32(0.25)).save(path, overWrite=True)
    assert OptimMethod.load(path).learningrate == 0.25
    with pytest.raises(TypeError, match="got learningrate of type object"):
        SGD(object()).save(tmp_path / "other.npz")


def test_what_is_no_method_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        OptimMethod.load(tmp_path / "none.npz")
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="got a damaged method"):
        OptimMethod.load(tmp_path / "damaged.npz")
    write_archive(tmp_path / "other.npz", {"format": 1, "arguments": {}, "state": {"method": "optim.Fly"}}, {})
    with pytest.raises(CheckpointError, match=r"got a method that cannot be built: .*optim\.Fly"):
        OptimMethod.load(tmp_path / "other.npz")
    write_archive(tmp_path / "list.npz", {"format": 1, "arguments": [1]}, {})
    with pytest.raises(CheckpointError, match="of a method that was saved"):
        OptimMethod.load(tmp_path / "list.npz")
    write_archive(tmp_path / "number.npz", 5, {})
    with pytest.raises(CheckpointError, match="got a damaged method"):
        OptimMethod.load(tmp_path / "number.npz")
    write_archive(tmp_path / "checkpoint.npz", {"format": 2}, {})
    with pytest.raises(CheckpointError, match="got format 2, expected 1, of a method"):
        OptimMethod.load(tmp_path / "checkpoint.npz")


def slow_decoupled(kind, weights, gradients, rate, epsilon, decay):
    """AdamW's and Lamb's steps as their papers write them, weight by weight, then layer by layer."""
    weights, m, v = weights.astype(np.float64), np.zeros(len(weights)), np.zeros(len(weights))
    for t, g in enumerate(gradients, 1):
        for i in range(len(weights)):
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2
        step = [
            m[i] / (1 - 0.9**t) / ((v[i] / (1 - 0.999**t)) ** 0.5 + epsilon) + decay * weights[i] for i in range(len(m))
        ]
        for layer in (slice(0, 2), slice(2, 5)):
            part = np.array(step)[layer]
            trust = np.linalg.norm(weights[layer]) / np.linalg.norm(part) if kind is Lamb else 1.0
            weights[layer] -= rate * trust * part
    return weights


@pytest.mark.parametrize("kind", [AdamW, Lamb])
def test_decoupled_decay(kind):
    rng = np.random.default_rng(2)
    weights, gradients = rng.standard_normal(5).astype(np.float32), rng.standard_normal((4, 5)).astype(np.float32)
    method = kind(0.1, epsilon=1e-3, weightdecay=0.2)
    expected = slow_decoupled(kind, weights, gradients, 0.1, 1e-3, 0.2)
    for grads in gradients:
        method.update(weights, grads.copy(), layer_ends=(2, 5))
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="expected a momentum above 0"):
        SGD(0.1, nesterov=True)


def test_factors_by_weight():
    weights = np.ones(2, np.float32)
    SGD(0.1, learningrates=np.array([1.0, 0.0])).update(weights, np.ones(2, np.float32))
    np.testing.assert_allclose(weights, [0.9, 1.0])


SCHEDULES = {
    "Default": (Default(), [1.0, 1 / 1.1, 1 / 1.2, 1 / 1.3]),
    "Step": (Step(2, 0.5), [1, 1, 0.5, 0.5]),
    "MultiStep": (MultiStep([1, 3], 0.1), [1, 0.1, 0.1, 0.01]),
    "Poly": (Poly(2.0, 2), [1, 0.25, 0, 0]),
    "Exponential": (Exponential(2, 0.25), [1, 0.5, 0.25, 0.125]),
    "Exponential-stairs": (Exponential(2, 0.25, True), [1, 1, 0.25, 0.25]),
    "NaturalExp": (NaturalExp(2, 1.0), [1, 1, np.exp(-1), np.exp(-1)]),
    "Warmup": (Warmup(0.5), [1, 1.5, 2, 2.5]),
    "Cosine": (Cosine(2, 0.1), [1, 0.55, 0.1, 0.1]),
    "SequentialSchedule": (SequentialSchedule(1).add(Warmup(1.0), 1).add(Poly(1.0, 4), 9), [1, 2, 1.5, 1]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    schedule, expected = SCHEDULES[name]
    rates = [schedule.rate(1.0, Progress(steps, decay=0.1)) for steps in range(4)]
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_every_schedule_is_in_the_table():
    assert {kind.__name__ for kind in Schedule.__subclasses__()} - {"Plateau"} == {n.split("-")[0] for n in SCHEDULES}


def test_plateau_waits_then_reduces_and_cools_down():
    schedule = Plateau("score", factor=0.5, patience=2, mode="max", cooldown=2, min_lr=0.2)
    scores = [0.1, 0.5, 0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3]
    rates = [schedule.rate(1.0, Progress(10 * e, epoch=e + 2, score=score)) for e, score in enumerate(scores)]
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def state(**values):
    return TrainingState(**values)


@pytest.mark.parametrize(
    ("trigger", "before", "at"),
    [
        (MaxIteration(5), state(iteration=4), state(iteration=5)),
        (MaxEpoch(2), state(epoch=2), state(epoch=3)),
        (EveryEpoch(), state(), state(is_epoch_end=True)),
        (SeveralIteration(3), state(iteration=5), state(iteration=6)),
        (MaxScore(0.5), state(score=0.5), state(score=0.6)),
        (MinLoss(0.5), state(), state(loss=0.4)),
        (TriggerAnd(MaxIteration(5), MinLoss(0.5)), state(iteration=5), state(iteration=5, loss=0.1)),
        (TriggerOr(MaxIteration(5), MinLoss(0.5)), state(iteration=4), state(loss=0.1)),
    ],
)
def test_trigger(trigger, before, at):
    assert not trigger(before)
    assert trigger(at)
