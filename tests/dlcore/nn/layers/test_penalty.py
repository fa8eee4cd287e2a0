"""Layers of the family penalty: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import ActivityRegularization, L1Penalty, NegativeEntropyPenalty
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube

CASES = {
    "L1Penalty": LayerCase(lambda: L1Penalty(1), cube, lambda _, x: x, is_differentiable=False),
    "ActivityRegularization": LayerCase(
        lambda: ActivityRegularization(0.1, 0.2), cube, lambda _, x: x, is_differentiable=False
    ),
    "NegativeEntropyPenalty": LayerCase(
        NegativeEntropyPenalty, np.abs(cube) + 0.1, lambda _, x: x, is_differentiable=False
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
