"""The step by slices: what the owners of slices compute together is what one process computes."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import Linear, ReLU, Sequential
from dlcore.optim.adaptive import Adam, LarsSGD
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.method import SGD, Evaluation
from dlcore.optim.schedule import Progress
from dlcore.optim.update import Clipping, Update, combine
from dlcore.rng import RNG

SIZE = 4 * 6 + 6 + 6 * 3 + 3
RATES = np.linspace(0.5, 1.5, SIZE)
RECORDS = (5, 3, 0)


def model():
    RNG.set_seed(9)
    return Sequential().add(Linear(4, 6).set_name("first")).add(ReLU()).add(Linear(6, 3).set_name("second"))


METHODS = {
    "element": lambda: {"": SGD(0.1, momentum=0.9, dampening=0.0, learningrates=RATES)},
    "layer": lambda: {"": LarsSGD(learningrate=0.1)},
    "both": lambda: {"second": Adam(0.01), "first": LarsSGD(learningrate=0.1)},
}


def gradients(step):
    return np.random.default_rng(step).standard_normal((len(RECORDS), SIZE)).astype(np.float32)


def stepped(update, count, steps=4):
    """Weights after steps of which `count` owners each do a slice, and the updates of their slices."""
    weights = np.linspace(-1, 1, SIZE, dtype=np.float32)
    places = [slice(*bounds) for bounds in update.slices(count)]
    owners = [update.cut(place.start, place.stop) for place in places]
    for step in range(steps):
        rows = gradients(step)
        grads = [combine(rows[:, place], RECORDS) for place in places]
        squared = sum([owner.clip_values(grad) for owner, grad in zip(owners, grads, strict=True)])
        for owner, place, grad in zip(owners, places, grads, strict=True):
            owner.change(weights[place], grad, squared, Progress())
    return weights, owners


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("clipping", [Clipping(), Clipping((-0.5, 0.6), 1.0)])
def test_slices_give_what_the_whole_gives(name, clipping):
    whole, _ = stepped(Update.of(model(), METHODS[name](), clipping), 1)
    for count in (2, 3):
        sliced, _ = stepped(Update.of(model(), METHODS[name](), clipping), count)
        np.testing.assert_allclose(sliced, whole, rtol=0, atol=0 if clipping.norm is None else 1e-6)


def test_the_mean_is_weighted_by_records():
    rows = gradients(1)
    expected = (5 * rows[0].astype(np.float64) + 3 * rows[1]) / 8
    np.testing.assert_allclose(combine(rows, RECORDS), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ({"": SGD()}, [(0, 17), (17, 34), (34, 51)]),
        ({"": LarsSGD()}, [(0, 30), (30, 51)]),
        ({"": LBFGS()}, [(0, 51)]),
        ({"second": LBFGS(), "first": SGD()}, [(0, 21), (21, 34), (34, 51)]),
    ],
)
def test_slices_are_cut_where_the_methods_allow(methods, expected):
    assert Update.of(model(), methods, Clipping()).slices(3) == expected


@pytest.mark.parametrize("name", METHODS)
def test_the_state_of_slices_comes_together(name):
    methods = METHODS[name]()
    update = Update.of(model(), methods, Clipping())
    weights, owners = stepped(update, 3)
    update.join(owners)
    rows = gradients(7)
    update.change(weights, combine(rows, RECORDS), 0.0, Progress())
    expected, _ = stepped_then(7, name)
    np.testing.assert_array_equal(weights, expected)
    assert {method.steps for method in methods.values()} == {5}


def stepped_then(seed, name):
    """The same without slices."""
    update = Update.of(model(), METHODS[name](), Clipping())
    weights = np.linspace(-1, 1, SIZE, dtype=np.float32)
    for step in (0, 1, 2, 3, seed):
        update.change(weights, combine(gradients(step), RECORDS), 0.0, Progress())
    return weights, update


def test_a_layer_is_seen_whole():
    """LARS by its formula (You et al. 2017), layer by layer, in float64."""
    update = Update.of(model(), {"": LarsSGD(trust=0.5, learningrate=0.1)}, Clipping())
    weights, grad = np.linspace(-1, 1, SIZE, dtype=np.float32), gradients(0)[0]
    expected = weights.astype(np.float64)
    for place in (slice(0, 30), slice(30, SIZE)):
        w, g = weights[place].astype(np.float64), grad[place].astype(np.float64)
        local = 0.5 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.005 * np.linalg.norm(w))
        expected[place] -= 0.1 * local * (g + 0.005 * w)
    update.change(weights, grad, 0.0, Progress())
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_a_search_is_cut_and_joined_whole():
    method, target = LBFGS(max_iter=8, ncorrection=100, learningrate=0.3), np.array([1.0, -2.0, 0.5], np.float32)
    weights = np.zeros(3, np.float32)
    scale = np.array([1.0, 4.0, 9.0], np.float32)

    def again():
        return float((scale * np.square(weights - target)).sum()), 2 * scale * (weights - target)

    for _ in range(2):
        loss, grads = again()
        method.update(weights, grads, evaluation=Evaluation(loss, again))
    piece, joined = method.cut(0, 3), LBFGS()
    joined.join([piece])
    assert len(method.slots["steps"]) > 3
    for name, value in method.slots.items():
        np.testing.assert_array_equal(joined.slots[name], value)
