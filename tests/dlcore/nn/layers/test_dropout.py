"""Layers of the family dropout: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import (
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from dlcore.rng import RNG
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, image, normal

CASES = {
    "Dropout": LayerCase(lambda: Dropout(0.3), cube),
    "Dropout-unscaled": LayerCase(lambda: Dropout(0.3, scale=False), cube),
    "GaussianDropout": LayerCase(lambda: GaussianDropout(0.3), cube),
    "GaussianNoise": LayerCase(lambda: GaussianNoise(0.3), cube),
    "SpatialDropout1D": LayerCase(lambda: SpatialDropout1D(0.3), cube),
    "SpatialDropout2D": LayerCase(lambda: SpatialDropout2D(0.3), image),
    "SpatialDropout3D": LayerCase(lambda: SpatialDropout3D(0.3), normal(2, 3, 2, 4, 3)),
    "SpatialDropout3D-NHWC": LayerCase(lambda: SpatialDropout3D(0.3, "NHWC"), normal(2, 3, 2, 4, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize(
    ("layer", "x", "axes"),
    [
        (SpatialDropout1D(0.5), np.ones((4, 5, 8), np.float32), 1),
        (SpatialDropout2D(0.5), np.ones((4, 8, 3, 5), np.float32), (2, 3)),
        (SpatialDropout3D(0.5), np.ones((4, 8, 3, 2, 5), np.float32), (2, 3, 4)),
    ],
)
def test_whole_planes_are_dropped(layer, x, axes):
    RNG.set_seed(3)
    sums = layer.forward(x).sum(axis=axes)
    size = x.size // sums.size
    assert set(np.unique(sums)) == {0, size}
    assert abs((sums == 0).mean() - 0.5) < 0.3
    np.testing.assert_array_equal(layer.evaluate().forward(x), x / 2)
