"""Layers of the family border: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import Cropping2D, Cropping3D, SpatialZeroPadding
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import image, normal

volume = normal(2, 3, 4, 5, 6)
CASES = {
    "SpatialZeroPadding": LayerCase(
        lambda: SpatialZeroPadding(1, 2, -1, 3),
        image,
        lambda _, x: np.pad(x[:, :, 1:], [(0, 0), (0, 0), (0, 3), (1, 2)]),
    ),
    "Cropping2D": LayerCase(lambda: Cropping2D([1, 2], [0, 3]), image, lambda _, x: x[:, :, 1:4, :3]),
    "Cropping2D-NHWC": LayerCase(lambda: Cropping2D([1, 2], [0, 3], "NHWC"), image, lambda _, x: x[:, 1:2, :3]),
    "Cropping3D": LayerCase(lambda: Cropping3D([1, 1], [0, 2], [3, 0]), volume, lambda _, x: x[:, :, 1:3, :3, 3:]),
    "Cropping3D-last": LayerCase(
        lambda: Cropping3D([1, 0], [0, 2], [3, 0], "channel_last"), volume, lambda _, x: x[:, 1:, :2, 3:]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_nothing_left_is_refused():
    with pytest.raises(ValueError, match=r"Cropping3D: got input \(1, 1, 2, 2, 2\), expected more than is cut off"):
        Cropping3D([1, 1], [0, 0], [0, 0]).forward(np.ones((1, 1, 2, 2, 2)))
    with pytest.raises(ValueError, match="got data_format 'NCHW', expected 'channel_first'"):
        Cropping3D([1, 1], [0, 0], [0, 0], "NCHW")
