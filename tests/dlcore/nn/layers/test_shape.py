"""Layers of the family shape: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import (
    Contiguous,
    Identity,
    Index,
    InferReshape,
    Masking,
    Narrow,
    Padding,
    Replicate,
    Reshape,
    Reverse,
    Select,
    Squeeze,
    Tile,
    Transpose,
    Unsqueeze,
    View,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, image, normal

CASES = {
    "Masking": LayerCase(
        lambda: Masking(0.0), np.stack([cube[0] * [[1], [0], [1]], cube[1]]), lambda _, x: x, is_differentiable=False
    ),
    "Index": LayerCase(
        lambda: Index(2),
        [cube, np.array([3, 1, 3])],
        lambda _, x: x[0][:, [2, 0, 2]],
        has_batch=False,
        is_differentiable=False,
    ),
    "Identity": LayerCase(Identity, cube, lambda _, x: x),
    "Contiguous": LayerCase(Contiguous, image, lambda _, x: x),
    "Reshape": LayerCase(lambda: Reshape([2, 6]), cube, lambda _, x: x.reshape(2, 2, 6)),
    "Reshape-batch": LayerCase(lambda: Reshape([12], True), cube, lambda _, x: x.reshape(2, 12)),
    "View": LayerCase(lambda: View([12]), cube, lambda _, x: x.reshape(2, 12)),
    "View-sample": LayerCase(lambda: View([6, 2], 2), cube, lambda _, x: x.reshape(2, 6, 2)),
    "InferReshape": LayerCase(lambda: InferReshape([0, 2, -1]), cube, lambda _, x: x.reshape(2, 2, 6), has_batch=False),
    "InferReshape-batch": LayerCase(
        lambda: InferReshape([-1, 2], True), cube, lambda _, x: x.reshape(2, 6, 2), has_batch=False
    ),
    "Squeeze": LayerCase(lambda: Squeeze(2), normal(2, 1, 4), lambda _, x: x[:, 0]),
    "Unsqueeze": LayerCase(lambda: Unsqueeze(2), cube, lambda _, x: x[:, None]),
    "Transpose": LayerCase(lambda: Transpose([(2, 3), (3, 4)]), image, lambda _, x: x.transpose(0, 2, 3, 1)),
    "Replicate": LayerCase(lambda: Replicate(3, 2), cube, lambda _, x: np.stack([x] * 3, 1)),
    "Tile": LayerCase(lambda: Tile(3, 2), cube, lambda _, x: np.tile(x, (1, 1, 2))),
    "Select": LayerCase(lambda: Select(2, -1), cube, lambda _, x: x[:, -1]),
    "Narrow": LayerCase(lambda: Narrow(3, 2, -1), cube, lambda _, x: x[:, :, 1:]),
    "Reverse": LayerCase(lambda: Reverse(2), cube, lambda _, x: x[:, ::-1]),
    "Padding": LayerCase(
        lambda: Padding(1, -2, 2, 0.5), cube, lambda _, x: np.pad(x, [(0, 0), (2, 0), (0, 0)], constant_values=0.5)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
