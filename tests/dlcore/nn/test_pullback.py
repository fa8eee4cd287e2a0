"""Gradients that nobody needs are not computed, and those that somebody needs are the same."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore import kernels
from dlcore.nn.criterion import MSECriterion
from dlcore.nn.layer import (
    CAddTable,
    Concat,
    ConcatTable,
    Graph,
    Input,
    Linear,
    ParallelTable,
    ReLU,
    Reshape,
    Sequential,
    SpatialAveragePooling,
    SpatialConvolution,
    SpatialMaxPooling,
    Tanh,
)
from dlcore.nn.pullback import pulled
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG

X = np.random.default_rng(3).standard_normal((4, 2, 6, 6)).astype(np.float32)


def conv(name, planes=2):
    return SpatialConvolution(planes, 2, 3, 3, 1, 1, 1, 1).set_name(name)


def head():
    return Sequential().add(Reshape([72], True)).add(Linear(72, 3).set_name("head"))


def in_line():
    model = Sequential().add(Tanh()).add(conv("first")).add(ReLU()).add(SpatialMaxPooling(3, 3, 1, 1, 1, 1))
    return model.add(conv("second")).add(head())


def nested():
    inner = Sequential().add(conv("first")).add(Tanh())
    return Sequential().add(Sequential().add(inner).add(conv("second"))).add(head())


def branches():
    left, right = Sequential().add(conv("first")).add(ReLU()), Sequential().add(conv("second")).add(Tanh())
    both = Concat(2).add(left).add(right)
    return Sequential().add(both).add(conv("third", 4)).add(head())


def tables():
    split = ConcatTable().add(conv("first")).add(conv("second"))
    return Sequential().add(split).add(ParallelTable().add(conv("third")).add(Tanh())).add(CAddTable()).add(head())


def graph():
    x = Input()
    first = ReLU()(conv("first")(x))
    second = conv("second")(first)
    pooled = SpatialAveragePooling(3, 3, 1, 1, 1, 1)(x)
    return Graph([x], [head()(CAddTable()([second, pooled, conv("third")(first)]))])


NETWORKS = {"in line": in_line, "nested": nested, "branches": branches, "tables": tables, "graph": graph}
CASES = [  # network, frozen layers, convolutions whose input's gradient is of use in training
    ("in line", [], 1),
    ("in line", ["first"], 0),
    ("in line", ["first", "second"], 0),
    ("nested", [], 1),
    ("nested", ["first", "second"], 0),
    ("branches", [], 1),
    ("branches", ["first"], 1),
    ("branches", ["first", "second"], 0),
    ("tables", [], 1),
    ("tables", ["second"], 1),
    ("graph", [], 2),
    ("graph", ["first"], 0),
    ("graph", ["second"], 2),
]


def network(name, frozen):
    RNG.set_seed(4)
    return NETWORKS[name]().freeze(frozen)


def counted(monkeypatch):
    """The convolutions and linear layers whose input's gradient is computed from now on."""
    calls = []
    grad_x, linear_backward = kernels.conv_grad_x, kernels.linear_backward

    def spied_grad_x(*arguments):
        calls.append("convolution")
        return grad_x(*arguments)

    def spied_linear(x, w, grad_y, need_x=True, *flags):
        calls.extend(["linear"] * need_x)
        return linear_backward(x, w, grad_y, need_x, *flags)

    monkeypatch.setattr(kernels, "conv_grad_x", spied_grad_x)
    monkeypatch.setattr(kernels, "linear_backward", spied_linear)
    return calls


@pytest.mark.parametrize(("name", "frozen", "needed"), CASES)
def test_training_computes_what_it_needs(name, frozen, needed, monkeypatch):
    model, calls = network(name, frozen), counted(monkeypatch)
    Optimizer(model, (X, np.ones((4, 3))), MSECriterion(), MaxIteration(1), 4, SGD(0.1), is_quiet=True).optimize()
    assert calls.count("convolution") == needed
    assert calls.count("linear") == (any(f"{n}.weight" in path for path, p in learned(model) for n in LAYERS))


LAYERS = ("first", "second", "third")


def learned(model):
    return [(path, p) for path, p in model.named_parameters().items() if not p.frozen]


@pytest.mark.parametrize(("name", "frozen", "needed"), CASES)
def test_what_is_learned_is_the_same(name, frozen, needed):
    grads = []
    for needs_x in (True, False):
        model = network(name, frozen)
        y, pullback = model.apply(X)
        pulled(pullback, np.cos(y), needs_x)
        grads.append([parameter.grad for _, parameter in learned(model)])
    for with_x, without in zip(*grads, strict=True):
        assert with_x.any()
        np.testing.assert_array_equal(with_x, without)


def test_backward_still_gives_the_gradient_of_the_input():
    model = network("in line", ["first", "second", "head"])
    y = model.forward(X)
    grad_x, step = model.backward(X, np.ones_like(y)), 1e-2
    moved = [float(model.forward(X + sign * step * np.sign(grad_x)).sum(dtype=np.float64)) for sign in (1, -1)]
    assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(float(np.abs(grad_x).sum()), rel=0.05)


def test_a_layer_whose_gradient_stops_learns_and_those_before_it_do_not():
    x = Input()
    first, wall, last = (Linear(4, 4).set_name(name) for name in ("first", "wall", "last"))
    model = Graph([x], [last(wall(first(x)))]).stop_gradient(["wall"])
    rows = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    model.forward(rows)
    grad = model.backward(rows, np.ones((3, 4)))
    assert not grad.any()
    assert [bool(layer.weight.grad.any()) for layer in (first, wall, last)] == [False, True, True]
    expected = np.ones((3, 4)) @ last.weight.value
    np.testing.assert_allclose(wall.weight.grad, expected.T @ first.forward(rows), atol=1e-5)
