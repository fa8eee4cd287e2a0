"""Layers of the family tree: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.inference import compile
from dlcore.nn.layer import BinaryTreeLSTM, Linear, Sequential, TimeDistributed
from dlcore.rng import RNG
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

TREES = np.array(
    [
        [[2, 5, -1], [0, 0, 1], [0, 0, 2], [0, 0, 3], [3, 4, 0], [-1, -1, -1], [-1, -1, -1]],
        [[0, 0, 2], [0, 0, 1], [1, 2, 0], [3, 7, -1], [0, 0, 3], [0, 0, 3], [5, 6, 0]],
        [[0, 0, 2], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]],
    ]
)
"""Parents before children, children before parents and a word read twice, a single leaf."""
given = [normal(3, 3, 2), TREES]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def formula(layer, table):
    """Node by node, from the root down."""
    words, trees = table
    arrays = [part.astype(np.float64) for part in layer.get_weights()]
    count = 5 if layer.gate_output else 4
    gates = [arrays[4 * k : 4 * k + 4] for k in range(count)]
    leaf = arrays[4 * count :]
    y = np.zeros((*trees.shape[:2], layer.hidden_size))

    def shown(memory, opening):
        return np.tanh(memory) * (sigmoid(opening()) if layer.gate_output else 1)

    def state(b, k):
        left, right, word = (int(value) for value in trees[b, k - 1])
        if left == 0:
            vector = words[b, word - 1]
            c = leaf[0] @ vector + leaf[1]
            h = shown(c, lambda: leaf[2] @ vector + leaf[3])
        else:
            (left_c, left_h), (right_c, right_h) = state(b, left), state(b, right)
            values = [of_left @ left_h + a + of_right @ right_h + b for of_left, a, of_right, b in gates]
            c = sigmoid(values[0]) * np.tanh(values[3]) + sigmoid(values[1]) * left_c + sigmoid(values[2]) * right_c
            h = shown(c, lambda: values[4])
        y[b, k - 1] = h
        return c, h

    for b, tree in enumerate(trees):
        state(b, 1 + int(np.flatnonzero(tree[:, 2] == -1)[0]) if tree[1, 0] >= 0 else 1)
    return y


CASES = {
    "BinaryTreeLSTM": LayerCase(lambda: BinaryTreeLSTM(2, 3), given, formula),
    "BinaryTreeLSTM-ungated": LayerCase(lambda: BinaryTreeLSTM(2, 3, False), given, formula),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_what_bigdl_documents():
    """The example of BigDL's documentation (APIdocs, BinaryTreeLSTM), in Scala, after RNG.setSeed(100)."""
    RNG.set_seed(100)
    layer = BinaryTreeLSTM(2, 2)
    x = [np.array([[[1.0, 2], [2, 3], [4, 5]]]), TREES[:1, :5]]
    expected = [
        [-0.07799375, -0.14419462],
        [-0.23495524, -0.04679072],
        [-0.15945151, -0.026039641],
        [-0.0454074, -0.007066241],
        [-0.058696028, -0.13559057],
    ]
    np.testing.assert_allclose(layer.forward(x)[0], expected, atol=1e-7)
    grad_words, grad_trees = layer.backward(x, np.array([[[2.0, 5], [2, 3], [4, 5], [2, 3], [4, 5]]]))
    expected = [[0.56145966, -0.3383652], [0.81720364, -0.46767634], [0.37739626, -0.23355529]]
    np.testing.assert_allclose(grad_words[0], expected, atol=1e-6)
    assert not grad_trees.any()


def test_a_chain_of_any_depth():
    depth = 1500
    rows = [(k + 2, depth + 2 + k, 0) for k in range(depth)] + [(0, 0, 1)] * (depth + 1)
    rows[0] = (2, depth + 2, -1)
    layer = BinaryTreeLSTM(2, 3)
    x = [normal(1, 1, 2), np.array([rows])]
    assert np.isfinite(layer.forward(x)).all()
    assert np.isfinite(layer.backward(x, normal(1, 2 * depth + 1, 3))[0]).all()


def test_a_plan_takes_trees_of_any_form():
    model = Sequential().add(BinaryTreeLSTM(2, 3)).add(TimeDistributed(Linear(3, 2))).evaluate()
    plan = compile(model, [part.shape for part in given])
    for x in (given, [given[0], TREES[::-1]]):
        np.testing.assert_allclose(plan(x), model.forward(x), atol=1e-6)
    assert model.output_shape([(None, 3, 2), (None, 7, 3)]) == (None, 7, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[2, 3, -1], [0, 0, 1], [0, 0, 4]], "got words 1 to 4, expected 1 to 3"),
        ([[2, 4, -1], [0, 0, 1], [0, 0, 2]], "got children 2 to 4, expected 1 to 3"),
        ([[2, 0, -1], [0, 0, 1], [0, 0, 2]], "got children 0 to 2"),
        ([[2, 2, -1], [0, 0, 1], [0, 0, 2]], "a child twice"),
        ([[2, 3, -1], [1, 3, 0], [0, 0, 2]], "a child twice"),
        ([[1, 3, -1], [0, 0, 1], [0, 0, 2]], "got 1 nodes above themselves"),
        ([[2, 3, -1], [0, 0, 1], [-1, -1, -1]], "above padding"),
        ([[np.nan, 3, -1], [0, 0, 1], [0, 0, 2]], "got nan in a tree, expected whole numbers"),
        ([[2.4, 3, -1], [0, 0, 1], [0, 0, 2]], "got 2.4 in a tree"),
        ([[2, 3], [0, 1], [0, 2]], r"expected words \(N, L, 2\) and trees \(N, M, 3\)"),
    ],
)
def test_what_is_no_tree_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        BinaryTreeLSTM(2, 3).forward([normal(1, 3, 2), np.array([rows])])
