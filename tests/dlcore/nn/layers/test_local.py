"""Layers of the family local: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import LocallyConnected1D, LocallyConnected2D
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import image, normal


def slow_places(module, x):
    """The window at each place times the weights of that place."""
    (rows, columns), c = module.grid, module
    padded = np.pad(x, [(0, 0), (0, 0), (c.pad_h, c.pad_h), (c.pad_w, c.pad_w)])
    y = np.zeros((len(x), c.n_output_plane, rows, columns))
    for i, j in np.ndindex(rows, columns):
        window = padded[
            :, :, i * c.stride_h : i * c.stride_h + c.kernel_h, j * c.stride_w : j * c.stride_w + c.kernel_w
        ]
        place = i * columns + j
        y[:, :, i, j] = window.reshape(len(x), -1) @ c.weight.value[place].T + c.bias.value[place]
    return y


def slow_steps(module, x):
    c, steps = module, len(module.bias.value)
    windows = [x[:, t * c.stride_w : t * c.stride_w + c.kernel_w].reshape(len(x), -1) for t in range(steps)]
    return np.stack([w @ c.weight.value[t].T + c.bias.value[t] for t, w in enumerate(windows)], axis=1)


CASES = {
    "LocallyConnected2D": LayerCase(lambda: LocallyConnected2D(4, 6, 6, 3, 3, 2, 2, 1, 1, 1), image, slow_places),
    "LocallyConnected2D-NHWC": LayerCase(
        lambda: LocallyConnected2D(6, 6, 4, 3, 3, 2, data_format="NHWC", with_bias=False), image
    ),
    "LocallyConnected1D": LayerCase(lambda: LocallyConnected1D(6, 4, 5, 3, 2), normal(2, 6, 4), slow_steps),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_one_sequence_is_what_it_is_in_a_batch():
    layer = LocallyConnected1D(6, 3, 4, 2, 2)
    batch = normal(2, 6, 3)
    y = layer.forward(batch)
    grad = layer.backward(batch, np.ones_like(y))
    for x, expected, back in zip(batch, y, grad, strict=True):
        np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-6)
        np.testing.assert_allclose(layer.backward(x, np.ones_like(expected)), back, rtol=1e-6)
