"""Layers of the family contrast: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import (
    SpatialContrastiveNormalization,
    SpatialDivisiveNormalization,
    SpatialSubtractiveNormalization,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import image

bell = np.outer([1, 2, 1], [1, 3, 1]).astype(np.float32)
CASES = {
    "SpatialSubtractiveNormalization": LayerCase(lambda: SpatialSubtractiveNormalization(4, bell), image),
    "SpatialDivisiveNormalization": LayerCase(lambda: SpatialDivisiveNormalization(4, bell), image),
    "SpatialContrastiveNormalization": LayerCase(lambda: SpatialContrastiveNormalization(4), image),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
