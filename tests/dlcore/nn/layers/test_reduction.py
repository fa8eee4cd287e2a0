"""Layers of the family reduction: a row per layer and variant."""

from __future__ import annotations

import pytest

from dlcore.nn.layer import Max, Mean, Min, Sum
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, distinct

CASES = {
    "Sum": LayerCase(lambda: Sum(2, size_average=True, squeeze=False), cube, lambda _, x: x.sum(1)),
    "Mean": LayerCase(lambda: Mean(1, 2), cube, lambda _, x: x.mean(1)),
    "Max": LayerCase(lambda: Max(2), distinct, lambda _, x: x.max(1)),
    "Min": LayerCase(lambda: Min(2), distinct, lambda _, x: x.min(1)),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
