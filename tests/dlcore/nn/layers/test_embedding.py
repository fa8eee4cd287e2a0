"""Layers of the family embedding: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import LookupTable
from dlcore.testing import LayerCase, check_layer

CASES = {
    "LookupTable": LayerCase(
        lambda: LookupTable(6, 3),
        np.array([[1, 6], [6, 2]]),
        lambda m, x: m.weight.value[x - 1],
        is_differentiable=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_lookup_gradients_are_summed_by_row():
    table = LookupTable(4, 2, padding_value=3, should_scale_grad_by_freq=True)
    numbers = np.array([[1, 2, 1], [3, 1, 2]])
    table.forward(numbers)
    table.backward(numbers, np.arange(12.0).reshape(2, 3, 2))
    np.testing.assert_allclose(table.weight.grad, [[4, 5], [6, 7], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="expected 1 to 4"):
        table.forward([0, 1])


def test_lookup_rows_are_shortened():
    table = LookupTable(3, 2, max_norm=1.0)
    table.weight.value[...] = [[3, 4], [0.3, 0.4], [6, 8]]
    np.testing.assert_allclose(table.forward([1, 2]), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(table.weight.value[2], [6, 8])
