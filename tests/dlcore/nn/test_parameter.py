"""Penalties and tied parameters: each counts once, however often it is used."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop.native import load_module, save_module
from dlcore.nn.criterion import MSECriterion
from dlcore.nn.layer import Linear, Sequential, Tanh
from dlcore.nn.regularizer import ActivityRegularization, L1L2Regularizer, L1Regularizer, L2Regularizer
from dlcore.nn.weights import cast, tie
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.trigger import MaxIteration, SeveralIteration
from dlcore.rng import RNG

X = np.random.default_rng(2).standard_normal((8, 3)).astype(np.float32)
PENALTY = L1L2Regularizer(0.1, 0.2)


def layer(regularizer=None):
    return Linear(3, 3, with_bias=False, wRegularizer=regularizer)


def shared(regularizer=None):
    """One layer, used three times."""
    RNG.set_seed(8)
    one = layer(regularizer)
    return Sequential().add(one).add(Tanh()).add(one).add(Tanh()).add(one)


def tied(regularizer=None):
    """The same function of two layers and a third whose weights are the first's."""
    RNG.set_seed(8)
    model = Sequential().add(layer(regularizer)).add(Tanh()).add(layer(regularizer)).add(Tanh()).add(layer(regularizer))
    model[2].weight = model[4].weight = model[0].weight
    return model


def gradient(model):
    model.forward(X)
    model.backward(X, np.ones((8, 3)))
    return next(iter(model.named_parameters().values())).grad


@pytest.mark.parametrize(
    ("regularizer", "l1", "l2"),
    [
        (L1L2Regularizer(0.1, 0.2), 0.1, 0.2),
        (L1Regularizer(0.3), 0.3, 0),
        (L2Regularizer(0.4), 0, 0.4),
        (ActivityRegularization(0.1, 0.2), 0.1, 0.2),
    ],
)
def test_each_penalty_is_the_slope_of_its_formula(regularizer, l1, l2):
    w, step = np.linspace(-1, 1, 6), 1e-6
    ends = [l1 * np.abs(w + sign * step) + l2 * np.square(w + sign * step) / 2 for sign in (1, -1)]
    np.testing.assert_allclose(regularizer.gradient(w), (ends[0] - ends[1]) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("make", [shared, tied])
def test_a_penalty_counts_once_per_backward(make):
    w = make().named_parameters()["0.weight"].value
    penalty = 0.1 * np.sign(w) + 0.2 * w
    model = make(PENALTY)
    np.testing.assert_allclose(gradient(model), gradient(make()) + penalty, atol=1e-6)
    np.testing.assert_allclose(gradient(model), 2 * (gradient(make()) + penalty), atol=1e-5)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("make", [shared, tied])
def test_training_has_the_penalty_once(make, workers):
    changes = []
    for regularizer in (None, PENALTY):
        model = make(regularizer)
        before = model.get_weights()[0].copy()
        data = X, np.zeros((8, 3))
        Optimizer(model, data, MSECriterion(), MaxIteration(1), 8, SGD(1.0), workers=workers, is_quiet=True).optimize()
        changes.append(before - model.get_weights()[0])
    np.testing.assert_allclose(changes[1] - changes[0], 0.1 * np.sign(before) + 0.2 * before, atol=1e-6)


def test_a_penalty_without_a_gradient_is_not_added():
    model = layer(PENALTY).freeze()
    assert not gradient(model).any()


def test_tied_parameters_are_one():
    model, alone = tied(), layer()
    assert list(model.named_parameters()) == ["0.weight"]
    assert len(model.get_weights()) == len(alone.get_weights()) == 1
    assert model.get_parameters()[0].size == 9
    np.testing.assert_allclose(gradient(model), gradient(shared()), atol=1e-6)
    model.set_weights([np.eye(3)])
    np.testing.assert_allclose(model.forward(X), np.tanh(np.tanh(X)), atol=1e-6)


def copies(model, folder):
    save_module(model, folder / "model")
    yield load_module(folder / "model")
    yield pickle.loads(pickle.dumps(model))
    yield model.clone()


def test_copies_stay_tied(tmp_path):
    for copied in copies(tied(), tmp_path):
        assert copied[4].weight is copied[0].weight
        np.testing.assert_array_equal(copied.forward(X), tied().forward(X))


def test_tied_parameters_learn_as_one_and_go_on(tmp_path):
    def trained(steps, model, path=None):
        optimizer = Optimizer(
            model, (X, X[::-1]), MSECriterion(), MaxIteration(steps), 8, SGD(0.1, momentum=0.9), is_quiet=True
        )
        optimizer.set_checkpoint(SeveralIteration(3), tmp_path)
        return (optimizer.resume(path) if path else optimizer).optimize().get_weights()[0]

    expected = trained(6, shared())
    np.testing.assert_allclose(trained(3, shared()), trained(3, tied()), atol=1e-6)
    np.testing.assert_allclose(trained(6, tied(), tmp_path / "checkpoint.npz"), expected, atol=1e-6)


def test_files_that_tie_what_is_not_there_are_refused(tmp_path):
    folder = save_module(tied(), tmp_path / "model")
    topology = json.loads((folder / "topology.json").read_text())
    topology["tied"]["4.weight"] = "1.weight"
    (folder / "topology.json").write_text(json.dumps(topology))
    with pytest.raises(ModelFormatError, match=r"'4.weight' and '1.weight' to tie"):
        load_module(folder)


def test_only_parameters_of_one_shape_are_tied():
    model = Sequential().add(Linear(3, 4)).add(Linear(4, 3))
    with pytest.raises(ValueError, match="two parameters of one shape"):
        tie(model, "1.weight", "0.weight")


def test_flat_memory_follows_parameters_that_were_tied_since():
    model = Sequential().add(layer()).add(layer())
    assert len(model.get_parameters()[0]) == 18
    model[1].weight = model[0].weight
    assert len(model.get_parameters()[0]) == 9


def test_penalties_and_steps_are_as_precise_as_the_weights():
    one = layer(PENALTY)
    cast(one, np.float64)
    before = one.weight.value.copy()
    one.weight.accumulate(np.zeros((3, 3)))
    one.weight.penalise()
    np.testing.assert_allclose(one.weight.grad, 0.1 * np.sign(before) + 0.2 * before, rtol=1e-14)
    one.update_parameters(0.3)
    np.testing.assert_allclose(one.weight.value, before - 0.3 * one.weight.grad, rtol=1e-14)
