"""Layers of the family transposed: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import SpatialFullConvolution, VolumetricFullConvolution
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import image, normal


def slow_transposed(module, x):
    """Each input pixel adds its scaled kernel to the output, group by group."""
    window, w = module.window, module.weight.value
    kernel, stride, groups = window.kernel, window.stride, window.groups
    full = [(size - 1) * s + k + a for size, s, k, a in zip(x.shape[2:], stride, kernel, module.added, strict=True)]
    y, taken, given = np.zeros((len(x), module.n_output_plane, *full)), x.shape[1] // groups, w.shape[1]
    for place in np.ndindex(x.shape[2:]):
        where = tuple(slice(i * s, i * s + k) for i, s, k in zip(place, stride, kernel, strict=True))
        for group in range(groups):
            planes = slice(group * taken, (group + 1) * taken)
            added = np.tensordot(x[(slice(None), planes, *place)], w[planes], axes=1)
            y[(slice(None), slice(group * given, (group + 1) * given), *where)] += added
    y = y[(..., *(slice(p, size - p) for p, size in zip(window.pad, full, strict=True)))]
    return y + (0 if module.bias is None else module.bias.value.reshape(-1, *[1] * len(kernel)))


def volume(make, *shape):
    return LayerCase(make, normal(*shape), slow_transposed)


CASES = {
    "SpatialFullConvolution": LayerCase(
        lambda: SpatialFullConvolution(4, 3, 3, 3, 2, 2, 1, 1, 1, 1), image, slow_transposed
    ),
    "SpatialFullConvolution-plain": LayerCase(
        lambda: SpatialFullConvolution(4, 3, 3, 2, 2, 1, 1, 0, no_bias=True), image, slow_transposed
    ),
    "SpatialFullConvolution-groups": LayerCase(
        lambda: SpatialFullConvolution(4, 6, 3, 2, 2, 1, n_group=2), image, slow_transposed
    ),
    "VolumetricFullConvolution": volume(lambda: VolumetricFullConvolution(2, 3, 2, 3, 2), 2, 2, 2, 3, 3),
    "VolumetricFullConvolution-stride": volume(
        lambda: VolumetricFullConvolution(2, 4, 2, 3, 3, 2, 2, 1, 0, 1, 1, 1, 0, 0, 2, True), 2, 2, 2, 3, 3
    ),
    "VolumetricFullConvolution-single": LayerCase(
        lambda: VolumetricFullConvolution(2, 3, 2, 3, 2),
        normal(2, 2, 3, 3),
        lambda module, x: slow_transposed(module, x[None])[0],
        has_batch=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"got adj \(0, 0, 1\), expected 0 <= adj < stride, \(1, 1, 1\)"):
        VolumetricFullConvolution(2, 3, 2, 2, 2, adj_w=1)
    with pytest.raises(ValueError, match="got 3 -> 4 planes, expected multiples of n_group=2"):
        SpatialFullConvolution(3, 4, 2, 2, n_group=2)
