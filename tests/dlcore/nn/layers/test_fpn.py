"""The feature pyramid network against the layers it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import FPN
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

maps = [normal(2, 2, 8, 4), normal(2, 3, 4, 2), normal(2, 4, 2, 1)]


def convolved(layer, x, stride=1):
    """A convolution tap by tap."""
    weight, size = layer.weight.value, layer.weight.value.shape[2]
    padded = np.pad(x, [(0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2])
    height, width = x.shape[2:]
    y = sum(
        np.einsum("kc,nchw->nkhw", weight[:, :, i, j], padded[:, :, i : i + height, j : j + width])
        for i in range(size)
        for j in range(size)
    )
    return (y + layer.bias.value[:, None, None])[:, :, ::stride, ::stride]


def slow_pyramid(module, x):
    merged = [convolved(layer, part) for layer, part in zip(module.inner, x, strict=True)]
    for i in range(len(x) - 2, -1, -1):
        merged[i] = merged[i] + merged[i + 1].repeat(2, axis=2).repeat(2, axis=3)
    y = [convolved(layer, part) for layer, part in zip(module.outer, merged, strict=True)]
    if module.top_blocks == 1:
        y.append(y[-1][:, :, ::2, ::2])
    if module.top_blocks == 2:
        first = y[-1] if module.in_channels_of_p6p7 == module.out_channels_of_p6p7 else x[-1]
        sixth = convolved(module.top[0], first, 2)
        y += [sixth, convolved(module.top[1], np.maximum(sixth, 0), 2)]
    return y


CASES = {
    "FPN": LayerCase(lambda: FPN([2, 3, 4], 3, 1), maps, slow_pyramid),
    "FPN-retinanet": LayerCase(lambda: FPN([2, 3, 4], 3, 2, 3, 3), maps, slow_pyramid),
    "FPN-retinanet-input": LayerCase(lambda: FPN([2, 3, 4], 3, 2, 4, 2), maps, slow_pyramid),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_without_top_blocks_there_are_as_many_maps():
    layer = FPN([2, 3, 4], 3)
    for got, expected in zip(layer.forward(maps), slow_pyramid(layer, maps), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="got top_blocks 3, expected 0, 1 or 2"):
        FPN([2], 3, 3)
    with pytest.raises(ValueError, match="expected a table of 3 maps"):
        FPN([2, 3, 4], 3).forward(maps[:2])
    with pytest.raises(ValueError, match=r"got maps of \(5, 4\) and \(3, 2\), expected halves of even sizes"):
        FPN([2, 2], 3).forward([normal(1, 2, 5, 4), normal(1, 2, 3, 2)])
