"""Layers of the family normalization: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dlcore.nn.layer import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalize,
    NormalizeScale,
    SpatialBatchNormalization,
    SpatialCrossMapLRN,
    SpatialWithinChannelLRN,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import apart, cube, image, rows


def cross_map(_, x):
    padded = np.pad(x.astype(np.float64) ** 2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    return x * (2 + 0.5 / 3 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])) ** -0.75


def within_channel(_, x):
    window = np.ones((3, 3))
    sums = [
        [signal.correlate2d(plane.astype(np.float64) ** 2, window, mode="same") for plane in sample] for sample in x
    ]
    return x * (1 + 0.5 / 9 * np.array(sums)) ** -0.75


def slow_groups(module, x):
    y = np.zeros(x.shape)
    for n, sample in enumerate(x):
        for start in range(0, len(sample), len(sample) // module.n_group):
            part = slice(start, start + len(sample) // module.n_group)
            group = sample[part].astype(np.float64)
            y[n, part] = (group - group.mean()) / np.sqrt(group.var() + module.eps)
    return y


CASES = {
    "GroupNormalization": LayerCase(lambda: GroupNormalization(2, 4), image, slow_groups),
    "GroupNormalization-rows": LayerCase(lambda: GroupNormalization(1, 5), rows, slow_groups),
    "BatchNormalization": LayerCase(lambda: BatchNormalization(5), rows),
    "BatchNormalization-plain": LayerCase(lambda: BatchNormalization(5, affine=False), rows),
    "SpatialBatchNormalization": LayerCase(lambda: SpatialBatchNormalization(4), image),
    "SpatialBatchNormalization-NHWC": LayerCase(lambda: SpatialBatchNormalization(6, data_format="NHWC"), image),
    "LayerNormalization": LayerCase(lambda: LayerNormalization(4), cube),
    "Normalize": LayerCase(lambda: Normalize(2.0), rows, lambda _, x: x / np.linalg.norm(x, axis=1, keepdims=True)),
    "Normalize-3": LayerCase(
        lambda: Normalize(3.0), rows, lambda _, x: x / np.linalg.norm(x, 3, axis=1, keepdims=True)
    ),
    "Normalize-inf": LayerCase(
        lambda: Normalize(float("inf")), apart(4, 5), lambda _, x: x / np.abs(x).max(1, keepdims=True)
    ),
    "NormalizeScale": LayerCase(
        lambda: NormalizeScale(2.0, 20.0, [1, 4, 1, 1]),
        image,
        lambda _, x: 20 * x / np.linalg.norm(x, axis=1, keepdims=True),
    ),
    "SpatialCrossMapLRN": LayerCase(lambda: SpatialCrossMapLRN(3, 0.5, 0.75, 2.0), image, cross_map),
    "SpatialCrossMapLRN-NHWC": LayerCase(lambda: SpatialCrossMapLRN(3, data_format="NHWC"), image),
    "SpatialWithinChannelLRN": LayerCase(lambda: SpatialWithinChannelLRN(3, 0.5), image, within_channel),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
