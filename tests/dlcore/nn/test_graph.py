"""Graphs: shared layers, several inputs and outputs, cutting, freezing, taking containers apart, TensorBoard's view."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.graph_pb2 import GraphDef

from dlcore.inference import compile
from dlcore.interop.native import load_module, save_module
from dlcore.nn.layer import (
    CAddTable,
    Concat,
    ConcatTable,
    Graph,
    Identity,
    Input,
    JoinTable,
    Linear,
    Model,
    ParallelTable,
    ReLU,
    Sequential,
    Tanh,
)
from dlcore.nn.node import Node
from dlcore.rng import RNG
from tests.dlcore.nn.layers.arrays import normal

X, Z = normal(5, 3, seed=1), normal(5, 4, seed=2)


def two_ways():
    """Two inputs through one shared layer each way and a layer of their own; the sum, and the first way's features,
    come out."""
    RNG.set_seed(4)
    x, z = Input("x"), Input("z")
    shared = Linear(4, 2).set_name("shared")
    features = Tanh().set_name("features")(Linear(3, 4).set_name("first")(x))
    ways = shared(features), shared(z)
    total = CAddTable().set_name("sum")([ways[0], Linear(2, 2).set_name("own")(ways[1])])
    return Model([x, z], [total, features]), shared


def values(graph):
    return {name: parameter.value for name, parameter in graph.named_parameters().items()}


def test_a_graph_of_two_inputs_two_outputs_and_a_shared_layer():
    """Outputs, and all gradients, against the chain rule written out."""
    graph, shared = two_ways()
    w1, w, w2 = (graph.node(name).element().weight.value for name in ("first", "shared", "own"))
    b1, b, b2 = (graph.node(name).element().bias.value for name in ("first", "shared", "own"))
    features = np.tanh(X @ w1.T + b1)
    middle = Z @ w.T + b
    total, out = graph.forward([X, Z])
    np.testing.assert_allclose(out, features, atol=1e-6)
    np.testing.assert_allclose(total, features @ w.T + b + middle @ w2.T + b2, atol=1e-5)
    grads = [normal(5, 2, seed=3), normal(5, 4, seed=4)]
    graph.zero_grad_parameters()
    grad_x, grad_z = graph.backward([X, Z], grads)
    inner = (grads[0] @ w + grads[1]) * (1 - features**2)
    np.testing.assert_allclose(grad_x, inner @ w1, atol=1e-5)
    np.testing.assert_allclose(grad_z, grads[0] @ w2 @ w, atol=1e-5)
    np.testing.assert_allclose(shared.weight.grad, grads[0].T @ features + (grads[0] @ w2).T @ Z, atol=1e-5)


def test_a_new_graph_ends_where_it_is_told_and_takes_what_it_needs():
    graph, _ = two_ways()
    features = graph.new_graph(["features"])
    assert [node.element().name() for node in features.inputs] == ["x"]
    np.testing.assert_array_equal(features.forward(X), graph.forward([X, Z])[1])
    assert features.node("first").element() is graph.node("first").element()
    both = graph.new_graph(["own", "features"])
    assert len(both.inputs) == 2
    assert [y.shape for y in both.forward([X, Z])] == [(5, 2), (5, 4)]
    with pytest.raises(KeyError, match="got name 'nothing'"):
        graph.new_graph("nothing")
    with pytest.raises(ValueError, match="got no names of outputs"):
        graph.new_graph([])


def test_freezing_up_to_a_layer_includes_it_and_what_it_takes():
    graph, _ = two_ways()
    assert graph.freeze_up_to(["features"]) is graph
    assert {name for name, p in graph.named_parameters().items() if p.frozen} == {"first.weight", "first.bias"}
    graph.unfreeze()
    graph.freeze_up_to("own")
    assert {name.split(".")[0] for name, p in graph.named_parameters().items() if p.frozen} == {"shared", "own"}
    graph.unfreeze(["own"])
    assert {name.split(".")[0] for name, p in graph.named_parameters().items() if p.frozen} == {"shared"}
    with pytest.raises(KeyError, match="got name 'nothing'"):
        graph.freeze_up_to("nothing")


def test_edges_can_be_removed():
    x = Input()
    first, second = Linear(3, 4).set_name("first"), Linear(4, 2).set_name("second")
    middle = first(x)
    end = second(middle)
    whole = Graph([x], [end])
    expected = whole.forward(X)
    assert end.remove_pre_edges() is end
    np.testing.assert_array_equal(Graph([end], [end]).forward(Z), second.forward(Z))
    np.testing.assert_array_equal(whole.forward(X), expected)  # a graph that is built stays
    other, last = Tanh()(middle), ReLU()(middle)
    assert middle.remove_next_edges() is middle
    assert (other.previous, last.previous) == ([], [])
    with pytest.raises(ValueError, match=r"got input .*, expected one that an output depends on"):
        Graph([x], [last])


def test_a_graph_keeps_its_edges_in_files_and_plans(tmp_path):
    graph, _ = two_ways()
    expected = graph.evaluate().forward([X, Z])
    graph.node("own").remove_pre_edges()
    save_module(graph, tmp_path / "graph")
    for same in (load_module(tmp_path / "graph"), graph.clone()):
        for got, wanted in zip(same.evaluate().forward([X, Z]), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip(compile(graph, [X.shape, Z.shape])([X, Z]), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_nodes_that_follow_are_not_kept_alive():
    node = Input()
    Node.of(Tanh(), node)
    assert not list(node._next)


def branches():
    """Containers in containers, of every kind that is taken apart, and one that is not."""
    RNG.set_seed(6)
    joined = (
        Concat(2).set_name("joined").add(Linear(3, 2).set_name("left")).add(Sequential().add(Linear(3, 3)).add(Tanh()))
    )
    table = ConcatTable().add(Linear(5, 4).set_name("upper")).add(Identity())
    each = ParallelTable().add(ReLU()).add(Linear(5, 4).set_name("lower"))
    inner = Input()
    head = Graph([inner], [Linear(4, 2).set_name("head")(Tanh()(inner))])
    return Sequential().add(joined).add(ReLU()).add(table).add(each).add(CAddTable()).add(head)


def test_containers_are_taken_apart():
    chain = branches()
    graph = chain.to_graph()
    grad = normal(5, 2, seed=9)
    results = []
    for model in (chain, graph):
        model.zero_grad_parameters()
        y = model.forward(X)
        results.append(
            [y, model.backward(X, grad), *[g.copy() for g in (p.grad for p in model.named_parameters().values())]]
        )
    assert len(results[0]) == len(results[1]) == 2 + 10
    for got, wanted in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)
    kinds = [type(node.element()).__name__ for node in graph.nodes]
    assert not {"Sequential", "Concat", "ConcatTable", "ParallelTable", "Graph"} & set(kinds)
    cut = graph.new_graph(["left", "head"])
    np.testing.assert_allclose(cut.forward(X)[1], results[0][0], atol=1e-6)
    assert graph.node("joined").element().dimension == 2


def test_what_is_no_plain_table_stays_one_node():
    single = Sequential().add(ConcatTable().add(Linear(3, 2))).add(JoinTable(1, 1)).to_graph()
    nested = Sequential().add(ConcatTable().add(ConcatTable().add(Tanh()).add(ReLU())).add(Tanh())).to_graph()
    assert [type(node.element()).__name__ for node in single.nodes] == ["InputLayer", "ConcatTable", "JoinTable"]
    np.testing.assert_array_equal(single.forward(X), single.nodes[1].element()[0].forward(X))
    y = nested.forward(X)
    np.testing.assert_array_equal(y[0][1], np.maximum(X, 0))
    np.testing.assert_array_equal(y[1], np.tanh(X))


def test_a_stopped_gradient_stays_stopped():
    x = Input()
    inner = Graph([x], [Tanh().set_name("stop")(Linear(3, 3)(x))])
    inner.stop_gradient("stop")
    graph = Sequential().add(Linear(3, 3)).add(inner).to_graph()
    graph.forward(X)
    assert not graph.backward(X, np.ones((5, 3))).any()
    cut = inner.new_graph("stop")
    cut.forward(X)
    assert not cut.backward(X, np.ones((5, 3))).any()


def test_tensorboard_reads_the_topology(tmp_path):
    """Its own reader: each layer with its kind and what it takes, names told apart."""
    graph, _ = two_ways()
    assert graph.save_graph_topology(tmp_path) is graph
    (path,) = tmp_path.glob("events.out.tfevents.*")
    (found,) = [event.graph_def for event in LegacyEventFileLoader(str(path)).Load() if event.graph_def]
    nodes = {node.name: (node.op, list(node.input)) for node in GraphDef.FromString(found).node}
    assert nodes == {
        "x": ("InputLayer", []),
        "first": ("Linear", ["x"]),
        "features": ("Tanh", ["first"]),
        "shared": ("Linear", ["features"]),
        "z": ("InputLayer", []),
        "shared_2": ("Linear", ["z"]),
        "own": ("Linear", ["shared_2"]),
        "sum": ("CAddTable", ["shared", "own"]),
    }
    first = next(node for node in GraphDef.FromString(found).node if node.name == "first")
    layer = graph.node("first").element()
    expected = {"input_size": layer.input_size, "output_size": layer.output_size, "with_bias": True}
    expected |= {"parameters": layer.weight.value.size + layer.bias.value.size}
    assert {name: value.s.decode() for name, value in first.attr.items()} == {k: str(v) for k, v in expected.items()}
