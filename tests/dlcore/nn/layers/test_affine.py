"""Layers of the family affine: a row per layer and variant."""

from __future__ import annotations

import pytest

from dlcore.nn.layer import Add, CAdd, CMul, Mul, Scale
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, image, rows

CASES = {
    "Mul": LayerCase(Mul, cube, lambda m, x: x * m.weight.value),
    "Add": LayerCase(lambda: Add(5), rows, lambda m, x: x + m.bias.value),
    "CMul": LayerCase(lambda: CMul([1, 4, 1, 1]), image, lambda m, x: x * m.weight.value),
    "CMul-sample": LayerCase(lambda: CMul([3, 1]), cube, lambda m, x: x * m.weight.value),
    "CAdd": LayerCase(lambda: CAdd([3, 4]), cube, lambda m, x: x + m.bias.value),
    "Scale": LayerCase(lambda: Scale([1, 4, 1, 1]), image, lambda m, x: x * m.weight.value + m.bias.value),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
