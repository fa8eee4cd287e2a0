"""Layers of the family resize: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dlcore.nn.layer import ExpandSize, ResizeBilinear, UpSampling1D, UpSampling2D, UpSampling3D
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, image, normal

CASES = {
    "ExpandSize": LayerCase(
        lambda: ExpandSize([-1, 5, 3, 4]), normal(2, 1, 3, 1), lambda _, x: x.repeat(5, 1).repeat(4, 3)
    ),
    "UpSampling1D": LayerCase(lambda: UpSampling1D(2), cube, lambda _, x: x.repeat(2, 1)),
    "UpSampling2D": LayerCase(lambda: UpSampling2D([2, 3]), image, lambda _, x: np.kron(x, np.ones((1, 1, 2, 3)))),
    "UpSampling2D-nhwc": LayerCase(
        lambda: UpSampling2D([2, 3], "nhwc"), image, lambda _, x: np.kron(x, np.ones((1, 2, 3, 1)))
    ),
    "UpSampling3D": LayerCase(
        lambda: UpSampling3D([2, 1, 3]), normal(2, 2, 2, 3, 2), lambda _, x: np.kron(x, np.ones((1, 1, 2, 1, 3)))
    ),
    "ResizeBilinear": LayerCase(lambda: ResizeBilinear(9, 4), image),
    "ResizeBilinear-corners": LayerCase(
        lambda: ResizeBilinear(11, 16, True), image, lambda _, x: ndimage.zoom(x, (1, 1, 11 / 6, 16 / 6), order=1)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize(
    ("sizes", "message"), [([3, 4], "expected 2 dimensions"), ([2, 5, 4], "got size 3, expected 1 or 5")]
)
def test_other_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        ExpandSize(sizes).forward(cube)
