"""Layers of the family pooling: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import SpatialAveragePooling, SpatialMaxPooling, TemporalMaxPooling
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import apart, distinct, image


def global_mean(_, x):
    return x.mean((2, 3), keepdims=True)


CASES = {
    "TemporalMaxPooling": LayerCase(
        lambda: TemporalMaxPooling(2, 1), distinct, lambda _, x: np.maximum(x[:, :-1], x[:, 1:])
    ),
    "SpatialMaxPooling": LayerCase(lambda: SpatialMaxPooling(2, 2, 2, 2), apart(2, 2, 6, 6)),
    "SpatialMaxPooling-ceil": LayerCase(lambda: SpatialMaxPooling(3, 2, 2, 3, 1, 1, True), apart(2, 2, 6, 6)),
    "SpatialMaxPooling-same": LayerCase(lambda: SpatialMaxPooling(3, 3, 2, 2, -1, -1), apart(2, 2, 5, 6)),
    "SpatialAveragePooling": LayerCase(lambda: SpatialAveragePooling(3, 2, 2, 1, 1, 1), image),
    "SpatialAveragePooling-inside": LayerCase(
        lambda: SpatialAveragePooling(3, 3, 2, 2, 1, 1, ceil_mode=True, count_include_pad=False), image
    ),
    "SpatialAveragePooling-sum": LayerCase(lambda: SpatialAveragePooling(2, 2, 2, 2, divide=False), image),
    "SpatialAveragePooling-global": LayerCase(
        lambda: SpatialAveragePooling(1, 1, global_pooling=True), image, global_mean
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
