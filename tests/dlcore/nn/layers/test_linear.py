"""Layers of the family linear: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import distance

from dlcore.nn.layer import Cosine, Euclidean, Highway, Linear, Maxout, Tanh
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import rows


def column_distances(module, x):
    return np.array([[np.linalg.norm(row - w) for w in module.weight.value.T] for row in x])


def largest_piece(module, x):
    return (x @ module.inner.weight.value.T + module.inner.bias.value).reshape(len(x), 2, 3).max(1)


CASES = {
    "Cosine": LayerCase(
        lambda: Cosine(5, 3),
        rows,
        lambda m, x: np.array([[1 - distance.cosine(row, w) for w in m.weight.value] for row in x]),
    ),
    "Euclidean": LayerCase(lambda: Euclidean(5, 3), rows, column_distances),
    "Maxout": LayerCase(lambda: Maxout(5, 3, 2), rows, largest_piece),
    "Highway": LayerCase(lambda: Highway(5), rows),
    "Highway-Tanh": LayerCase(lambda: Highway(5, activation=Tanh()), rows),
    "Linear": LayerCase(lambda: Linear(5, 3), rows, lambda m, x: x @ m.weight.value.T + m.bias.value),
    "Linear-no-bias": LayerCase(lambda: Linear(5, 3, with_bias=False), rows, lambda m, x: x @ m.weight.value.T),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_euclidean_weights_lie_as_in_bigdl():
    assert Euclidean(5, 3).get_weights()[0].shape == (5, 3)
