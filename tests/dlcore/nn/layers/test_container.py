"""Layers of the family container: a row per layer and variant."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dlcore.nn.layer import (
    Bottle,
    CAddTable,
    Concat,
    ConcatTable,
    Graph,
    Input,
    InputLayer,
    Linear,
    LogSoftMax,
    MapTable,
    Module,
    ParallelTable,
    ReLU,
    Reshape,
    Sequential,
    SpatialAveragePooling,
    SpatialBatchNormalization,
    SpatialConvolution,
    Tanh,
    TimeDistributed,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, image, rows


def split_graph():
    """A graph with a shared layer, a branch, two inputs and two outputs."""
    first, second = Input(), Input()
    shared = Linear(5, 5).set_name("shared")
    hidden = ReLU()(shared(first))
    joined = CAddTable()([Tanh()(shared(second)), hidden])
    return Graph([first, second], [Linear(5, 2)(joined), hidden])


def small_network():
    network = Sequential().add(SpatialConvolution(4, 3, 3, 3)).add(SpatialBatchNormalization(3)).add(Tanh())
    return network.add(SpatialAveragePooling(2, 2, 2, 2)).add(Reshape([12], True)).add(Linear(12, 2)).add(LogSoftMax())


def with_relu():
    return Sequential().add(Linear(5, 4)).add(ReLU()).add(Linear(4, 2))


CASES = {
    "Sequential-empty": LayerCase(Sequential, cube, lambda _, x: x),
    "Sequential": LayerCase(small_network, image),
    "Sequential-ReLU": LayerCase(with_relu, rows),
    "ConcatTable": LayerCase(lambda: ConcatTable().add(Linear(5, 2)).add(Tanh()), rows),
    "Concat": LayerCase(lambda: Concat(2).add(SpatialConvolution(4, 2, 1, 1)).add(Tanh()), image),
    "ParallelTable": LayerCase(lambda: ParallelTable().add(Linear(5, 2)).add(Tanh()), [rows, cube[:, 0].repeat(2, 0)]),
    "MapTable": LayerCase(lambda: MapTable(Linear(5, 2)), [rows, rows[::-1]]),
    "Bottle": LayerCase(
        lambda: Bottle(Linear(4, 2), 2, 2), cube, lambda m, x: x @ m.module.weight.value.T + m.module.bias.value
    ),
    "Graph": LayerCase(split_graph, [rows, rows[::-1]]),
    "TimeDistributed": LayerCase(
        lambda: TimeDistributed(Linear(4, 2)), cube, lambda m, x: x @ m.model.weight.value.T + m.model.bias.value
    ),
    "InputLayer": LayerCase(InputLayer, cube, lambda _, x: x),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_a_relu_of_two_nodes_is_not_computed_with_one_of_them():
    first, second = Input(), Input()
    graph = Graph([first, second], [ReLU()(Tanh()(first), Tanh()(second))])
    x = [np.full((1, 2), 3.0), np.full((1, 2), -3.0)]
    np.testing.assert_allclose(graph.forward(x), [np.tanh(np.full((1, 2), 3.0)), np.zeros((1, 2))], rtol=1e-6)


@pytest.mark.parametrize("copied", [Module.clone, lambda graph: pickle.loads(pickle.dumps(graph))])
def test_a_deep_graph_is_copied(copied):
    start = Input()
    end, shared = start, Linear(3, 3)
    for _ in range(400):
        end = Tanh()(end)
    graph = Graph([start], [shared(shared(end)), end]).stop_gradient("Linear")
    copy = copied(graph)
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(copy.forward(x)[0], graph.forward(x)[0])
    grads = [np.ones((2, 3)), np.zeros((2, 3))]
    np.testing.assert_array_equal(copy.backward(x, grads), graph.backward(x, grads))
    for (path, parameter), (name, other) in zip(
        copy.named_parameters().items(), graph.named_parameters().items(), strict=True
    ):
        assert path == name and parameter is not other
        np.testing.assert_array_equal(parameter.grad, other.grad)
    assert copy.node("Linear") in copy.outputs[0].previous
