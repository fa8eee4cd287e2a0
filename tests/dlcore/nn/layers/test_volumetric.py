"""Layers of the family volumetric: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dlcore.nn.layer import (
    VolumetricAveragePooling,
    VolumetricConvolution,
    VolumetricFullConvolution,
    VolumetricMaxPooling,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import apart, normal


def slow_volume(module, x):
    """Correlation volume by volume with SciPy, then strides."""
    c = module
    padded = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in (c.pad_t, c.pad_h, c.pad_w)]])
    y = [
        [sum(signal.correlate(p, k, mode="valid") for p, k in zip(v, w, strict=True)) for w in c.weight.value]
        for v in padded
    ]
    return np.array(y)[:, :, :: c.d_t, :: c.d_h, :: c.d_w] + c.bias.value[:, None, None, None]


volume = normal(2, 2, 5, 6, 4)
CASES = {
    "VolumetricConvolution": LayerCase(
        lambda: VolumetricConvolution(2, 3, 3, 2, 3, 2, 1, 2, 1, 1, 0), volume, slow_volume
    ),
    "VolumetricConvolution-same": LayerCase(
        lambda: VolumetricConvolution(2, 3, 3, 2, 3, 1, 1, 1, -1, -1, -1, with_bias=False), volume
    ),
    "VolumetricMaxPooling": LayerCase(
        lambda: VolumetricMaxPooling(2, 2, 3, 1, 2, 3),
        apart(2, 2, 3, 6, 4),
        lambda _, x: np.lib.stride_tricks.sliding_window_view(x, (2, 3, 2), axis=(2, 3, 4))[:, :, :, ::3, ::2].max(
            (5, 6, 7)
        ),
    ),
    "VolumetricMaxPooling-padded": LayerCase(
        lambda: VolumetricMaxPooling(3, 3, 2, 2, 2, 2, 1, 1, 1), apart(2, 2, 3, 6, 4)
    ),
    "VolumetricAveragePooling": LayerCase(
        lambda: VolumetricAveragePooling(2, 2, 3, 1, 2, 3),
        volume,
        lambda _, x: np.lib.stride_tricks.sliding_window_view(x, (2, 3, 2), axis=(2, 3, 4))[:, :, :, ::3, ::2].mean(
            (5, 6, 7)
        ),
    ),
    "VolumetricAveragePooling-inside": LayerCase(
        lambda: VolumetricAveragePooling(3, 3, 2, 2, 2, 2, 1, 1, 1, count_include_pad=False), volume
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize(
    "make",
    [
        lambda: VolumetricConvolution(2, 3, 3, 2, 3, 2, 1, 2, 1, 1, 0),
        lambda: VolumetricFullConvolution(2, 3, 3, 2, 3, 2, 1, 2, 1, 1, 0),
        lambda: VolumetricMaxPooling(2, 2, 3, 1, 2, 3),
        lambda: VolumetricAveragePooling(2, 2, 3, 1, 2, 3),
    ],
)
def test_volumes_without_batch(make):
    """Outputs and gradients are those of a batch of one."""
    layer, x = make(), volume[0]
    y = layer.forward(x)
    np.testing.assert_allclose(y, layer.forward(x[None])[0], atol=1e-6)
    assert layer.output_shape(x.shape) == y.shape
    grad = normal(*y.shape)
    expected = layer.backward(x[None], grad[None])[0]
    layer.forward(x)
    np.testing.assert_allclose(layer.backward(x, grad), expected, atol=1e-6)
