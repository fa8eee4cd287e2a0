"""Optimisation methods, schedules and triggers."""

import numpy as np
import pytest

from dlcore.optim.adaptive import Adadelta, Adagrad, Adam, Adamax, Ftrl, ParallelAdam, RMSprop
from dlcore.optim.method import SGD, OptimMethod
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
}


@pytest.mark.parametrize("name", METHODS)
def test_method(name):
    check_optim_method(METHODS[name])


def test_nothing_escapes_its_harness():
    ours = {name for name, kind in OptimMethod.registry.items() if kind.__module__.startswith("dlcore.")}
    assert ours == {name.split("-")[0] for name in METHODS}


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
