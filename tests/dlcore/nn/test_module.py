"""What a module earns: names, flat parameters, freezing, graphs, messages."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from dlcore.interop.native import load_module
from dlcore.nn.init import BilinearFiller, Ones, Zeros, skipped
from dlcore.nn.layer import (
    BatchNormalization,
    CAddTable,
    Dropout,
    Graph,
    Identity,
    Input,
    Linear,
    LogSoftMax,
    ReLU,
    Sequential,
    SpatialConvolution,
    SpatialDropout1D,
    SpatialFullConvolution,
    Tanh,
)
from dlcore.nn.module import Module
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.rng import RNG

X = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)


def network():
    inner = Sequential().add(Linear(4, 4).set_name("second")).add(BatchNormalization(4)).set_name("block")
    return Sequential().add(Linear(4, 4)).add(inner).add(LogSoftMax())


def test_whatever_goes_wrong_in_a_layer_names_it():
    drop = SpatialDropout1D().set_name("drop")
    for model, note in (
        (drop, r"SpatialDropout1D 'drop': got input [(3, 4)]"),
        (Sequential().add(Identity()).add(drop), "at 'drop': got input shape [(3, 4)]"),
    ):
        with pytest.raises(AttributeError) as caught:
            model.forward([X])
        assert note in caught.value.__notes__[0]


def test_paths_are_set_names_or_positions():
    model = network()
    assert list(model.named_parameters()) == [
        "0.weight",
        "0.bias",
        "block.second.weight",
        "block.second.bias",
        "block.1.weight",
        "block.1.bias",
    ]
    assert list(model.buffers()) == ["block.1.running_mean", "block.1.running_var"]
    assert model.find("second") is model.find("block.second")
    with pytest.raises(KeyError, match=r"expected one of: 0, block, block\.second"):
        model.find("third")
    with pytest.raises(ValueError, match="empty layer name"):
        model.set_name("")


def test_names_may_have_dots(tmp_path):
    model = Sequential().add(Linear(4, 4).set_name("features.0")).add(Linear(4, 2).set_name("fc"))
    assert next(iter(model.named_parameters())) == "features.0.weight"
    assert model.find("features.0") is model.modules[0]
    loaded = load_module(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.find("features.0").weight.value, model.modules[0].weight.value)


def test_equal_names_are_told_apart_by_path_and_frozen_together():
    blocks = [Sequential().add(Linear(4, 4).set_name("conv")).set_name(name) for name in ("first", "second")]
    model = Sequential().add(blocks[0]).add(blocks[1])
    assert model.find("second.conv") is blocks[1].modules[0]
    with pytest.raises(KeyError, match=r"'conv', which 2 layers have, expected one of: first.conv, second.conv"):
        model.find("conv")
    assert all(parameter.frozen for parameter in model.freeze("conv").named_parameters().values())
    model.unfreeze("first.conv")
    assert [parameter.frozen for parameter in model.named_parameters().values()] == [False, False, True, True]
    with pytest.raises(KeyError, match=r"expected one of: first, first\.conv"):
        model.freeze(["conv", "missing"])
    model.add(Linear(4, 2).set_name("conv"))
    assert model.find("conv") is model.modules[2]


def test_a_name_stops_the_gradient_of_all_its_nodes():
    x = Input()
    first, second = Linear(4, 4), Linear(4, 4)
    walls = [Identity().set_name("wall")(layer(x)) for layer in (first, second)]
    graph = Graph([x], [CAddTable()(walls)]).stop_gradient(["wall"])
    graph.forward(X)
    graph.backward(X, np.ones((3, 4)))
    assert not first.weight.grad.any()
    assert not second.weight.grad.any()


def test_nodes_may_be_given_one_by_one():
    x, y, z = Input(), Input(), Input()
    for joined in (CAddTable()(x, y, z), CAddTable()([x, y, z]), CAddTable()([x, y], z)):
        assert joined.previous == [x, y, z]
        np.testing.assert_array_equal(Graph([x, y, z], [joined]).forward([X, X, X]), 3 * X)
    assert Linear(4, 2)().previous == Linear(4, 2)(None).previous == []


@dataclass(eq=False)
class RunningSum(Module):
    """Adds each input to the sum of those before, as a recurrent layer does."""

    hidden_states = ("total",)

    def apply(self, x):
        self.total = x if self.total is None else self.total + x
        return self.total, lambda grad: grad


class Doubly(RunningSum):
    hidden_states = ("other",)


def test_hidden_states_stay_between_calls_and_nowhere_else(tmp_path):
    model = Sequential().add(RunningSum())
    model.forward(X)
    np.testing.assert_array_equal(model.forward(X), 2 * X)
    assert model.output_shape((None, 4)) == (None, 4)
    loaded = load_module(model.save(tmp_path / "model"))
    for other in (pickle.loads(pickle.dumps(model)), model.clone(), loaded):
        np.testing.assert_array_equal(other.forward(X), X)
    np.testing.assert_array_equal(model.forward(X), 3 * X)
    np.testing.assert_array_equal(model.reset_states().forward(X), X)
    assert (Doubly().total, Doubly().other) == (None, None)


def test_two_layers_of_one_name_are_refused():
    model = Sequential().add(Linear(4, 4).set_name("a")).add(Linear(4, 4).set_name("a"))
    with pytest.raises(ValueError, match="two layers are called 'a'"):
        model.named_parameters()


def test_containers_list_what_they_hold():
    model = network()
    inner = model.modules[1]
    assert model.layers == list(model.modules)
    assert (len(model), model[1]) == (3, inner)
    assert model.flattened_layers() == [model[0], *inner.modules, model[2]]
    assert model.flattened_layers(include_container=True) == [model[0], inner, *inner.modules, model[2]]
    assert Linear(4, 2)(Input()).element().output_size == 2


def test_flat_parameters_are_views():
    model = network()
    weights, grads = model.get_parameters()
    assert weights.size == sum(w.size for w in model.get_weights())
    model.forward(X)
    model.backward(X, np.eye(3, 4))
    assert grads.any()
    weights.fill(0.5)
    assert all((w == 0.5).all() for w in model.get_weights())
    assert model.get_parameters()[0] is weights
    model.zero_grad_parameters()
    assert not grads.any()
    shared = np.zeros_like(weights), np.zeros_like(weights)
    assert model.get_parameters(*shared)[0] is shared[0]


def test_freezing_by_name():
    model = network().freeze("block")
    assert [p.frozen for p in model.named_parameters().values()] == [False, False, True, True, True, True]
    assert not any(p.frozen for p in model.unfreeze(["second", "block"]).named_parameters().values())


def test_update_parameters_is_a_plain_step():
    model = Linear(4, 2)
    before = model.weight.value.copy()
    model.forward(X)
    model.backward(X, np.ones((3, 2)))
    model.update_parameters(0.1)
    np.testing.assert_allclose(model.weight.value, before - 0.1 * X.sum(0), atol=1e-6)


def test_backward_needs_its_forward():
    model = Linear(4, 2)
    with pytest.raises(RuntimeError, match="call forward"):
        model.backward(X, np.ones((3, 2)))
    model.forward(X)
    with pytest.raises(ValueError, match="expected that of the latest forward"):
        model.backward(X[:2], np.ones((3, 2)))


def test_regularizers_add_to_the_gradient():
    model = Linear(4, 2)
    model.setWRegularizer(L1L2Regularizer(0.1, 0.2))
    model.forward(X)
    model.backward(X, np.zeros((3, 2)))
    w = model.weight.value
    np.testing.assert_allclose(model.weight.grad, 0.1 * np.sign(w) + 0.2 * w, atol=1e-7)
    assert not model.bias.grad.any()


def test_evaluation_uses_running_means():
    model = BatchNormalization(4, momentum=1.0, init_weight=np.ones(4))
    model.forward(X)
    np.testing.assert_allclose(model.running_var.value, X.var(0, ddof=1), rtol=1e-5)
    y = model.evaluate().forward(X)
    np.testing.assert_allclose(y, (X - X.mean(0)) / np.sqrt(X.var(0, ddof=1) + 1e-5), atol=1e-5)


def test_dropout_keeps_the_mean_and_differs_each_time():
    RNG.set_seed(1)
    layer, ones = Dropout(0.25), np.ones((100, 100), np.float32)
    first, second = layer.forward(ones), layer.forward(ones)
    assert not np.array_equal(first, second)
    assert first.mean() == pytest.approx(1.0, abs=0.02)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}


def test_weights_keep_bigdls_shapes():
    layer = SpatialConvolution(4, 6, 3, 2, n_group=2)
    weight, bias = layer.get_weights()
    assert weight.shape == (2, 3, 2, 2, 3)
    layer.set_weights([2 * weight, bias])
    np.testing.assert_array_equal(layer.get_weights()[0], 2 * weight)
    with pytest.raises(ValueError, match=r"got weight of shape \(3,\), expected \(2, 3, 2, 2, 3\)"):
        layer.set_weights([np.ones(3), bias])


def test_initial_values_can_be_given_skipped_and_drawn_anew():
    layer = Linear(4, 2, init_weight=np.ones((2, 4)), init_bias=np.zeros(2))
    np.testing.assert_array_equal(layer.forward(np.ones((1, 4))), [[4, 4]])
    with skipped():
        assert not Linear(4, 2).weight.value.any()
    layer.set_init_method(Ones(), Ones()).reset()
    assert layer.forward(np.ones((1, 4)))[0, 0] == 5
    with pytest.raises(TypeError, match="which this layer does not have"):
        ReLU().set_init_method(Ones())
    with pytest.raises(ValueError, match="init_weight of shape"):
        Linear(4, 2, init_weight=np.ones((4, 2)))


def test_a_bilinear_filler_doubles_an_image():
    layer = SpatialFullConvolution(1, 1, 4, 4, 2, 2, 1, 1).set_init_method(BilinearFiller(), Zeros())
    y = layer.forward(np.arange(25.0).reshape(1, 1, 5, 5))
    np.testing.assert_allclose(np.diff(y[0, 0, 4, 2:8]), 0.5, atol=1e-6)


def test_graphs_refuse_what_cannot_be_computed():
    x, lonely = Input(), Input()
    y = Linear(4, 2)(x)
    with pytest.raises(ValueError, match="expected one that an output depends on"):
        Graph([lonely], [y])
    with pytest.raises(ValueError, match="nodes without input"):
        Graph([x], [CAddTable()([y, lonely])])
    with pytest.raises(TypeError, match="use forward"):
        Linear(4, 2)(X)
    with pytest.raises(ValueError, match="expected a table of 2 inputs"):
        Graph([x, lonely], [CAddTable()([y, lonely])]).forward(X)
    y.previous.append(Tanh()(y))
    with pytest.raises(ValueError, match="without cycles"):
        Graph([x], [y])


def test_a_stopped_gradient_goes_no_further():
    x = Input()
    first, second = Linear(4, 4).set_name("first"), Linear(4, 2)
    graph = Graph([x], [second(Identity().set_name("wall")(first(x)))]).stop_gradient(["wall"])
    graph.forward(X)
    grad = graph.backward(X, np.ones((3, 2)))
    assert not grad.any()
    assert not first.weight.grad.any()
    assert second.weight.grad.any()


def test_messages_name_the_layer_and_the_remedy():
    with pytest.raises(ValueError, match=r"SpatialConvolution 'conv1': got input .* with 1 planes, expected 3; build"):
        SpatialConvolution(3, 4, 3, 3).set_name("conv1").forward(np.zeros((1, 1, 8, 8)))
    with pytest.raises(ValueError, match="expected multiples of n_group=2"):
        SpatialConvolution(3, 4, 3, 3, n_group=2)
    with pytest.raises(ValueError, match="at least the kernel"):
        SpatialConvolution(1, 1, 5, 5).forward(np.zeros((1, 1, 4, 4)))


class ReluApart(ReLU):
    """A ReLU that no container merges into the layer before it."""

    is_rectifier = False


class Leaky(ReLU):
    """Writes an `apply` of its own, so that what ReLU promises of its own does not hold."""

    def apply(self, x):
        return np.where(x > 0, x, 0.1 * x), lambda grad: grad * np.where(x > 0, 1, 0.1)


class Doubled(Linear):
    """Twice a Linear, whose `apply_with_relu` must not be that of Linear."""

    def apply(self, x):
        y, pullback = super().apply(x)
        return 2 * y, lambda grad: pullback(2 * grad)


class Block(Sequential):
    """A subclass of a container, as applications write them."""


def test_subclasses_compute_what_they_say():
    assert Block.is_rectifier is False
    linear, doubled = Linear(4, 4), Doubled(4, 4)
    doubled.set_weights(linear.get_weights())
    y = linear.forward(X)
    for kind in (Sequential, Block):
        np.testing.assert_allclose(kind().add(doubled).add(ReLU()).forward(X), np.maximum(2 * y, 0), atol=1e-6)
        np.testing.assert_allclose(kind().add(linear).add(Leaky()).forward(X), np.maximum(y, 0.1 * y), atol=1e-6)
    x = Input()
    np.testing.assert_allclose(Graph([x], [Leaky()(linear(x))]).forward(X), np.maximum(y, 0.1 * y), atol=1e-6)


@dataclass(eq=False)
class Perceptron(Sequential):
    """A container that adds its own layers."""

    hidden: int

    def __post_init__(self):
        self.add(Linear(4, self.hidden)).add(ReLU()).add(Linear(self.hidden, 2))


class Net(Graph):
    """A subclass of a graph."""


def test_subclasses_of_containers_are_saved_as_themselves(tmp_path):
    x = Input()
    for model in (
        Block().add(Linear(4, 2)).add(ReLU()),
        Perceptron(5).add(ReLU()),
        Net([x], [ReLU()(Linear(4, 2)(x))]),
    ):
        folder = tmp_path / type(model).__name__
        model.save(folder)
        loaded = load_module(folder)
        assert type(loaded) is type(model)
        np.testing.assert_array_equal(loaded.forward(X), model.forward(X))


def branching(kind):
    """A graph where the layer before a ReLU has other takers, is an output, is the input, or where the ReLU is
    shared."""
    RNG.set_seed(4)
    x, shared = Input(), kind()
    first = Linear(4, 4)(kind()(x))
    second = Linear(4, 4)(shared(first))
    third = BatchNormalization(4)(second)
    return Graph([x], [CAddTable()([kind()(third), first]), shared(Linear(4, 4)(second)), third])


def test_merging_a_relu_changes_nothing():
    results = []
    for kind in (ReLU, ReluApart):
        graph = branching(kind)
        y = graph.forward(X)
        grad = graph.backward(X, [np.cos(part) for part in y])
        results.append([*y, grad, *(parameter.grad for parameter in graph.named_parameters().values())])
    for merged, apart in zip(*results, strict=True):
        np.testing.assert_allclose(merged, apart, atol=1e-6)
