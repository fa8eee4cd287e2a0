"""Layers of the family convolutional_cells: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dlcore.nn.layer import ConvLSTMPeephole, ConvLSTMPeephole3D, HardSigmoid, Recurrent, RecurrentDecoder, SoftSign
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

image = [normal(2, 2, 4, 3), [normal(2, 3, 4, 3, seed=6), normal(2, 3, 4, 3, seed=7)]]
volume = [normal(2, 2, 2, 3, 3), [normal(2, 1, 2, 3, 3, seed=6), normal(2, 1, 2, 3, 3, seed=7)]]


def correlated(planes, weight):
    """Plane by plane, by scipy: (N, C, ...) and (1, K, C, *kernel) or (K, C, *kernel) -> (N, K, ...)."""
    kernels = weight.reshape(-1, planes.shape[1], *weight.shape[2 - planes.ndim :])
    results = [
        [
            sum(ndimage.correlate(plane, kernel, mode="constant") for plane, kernel in zip(record, of_one, strict=True))
            for of_one in kernels
        ]
        for record in planes.astype(np.float64)
    ]
    return np.array(results)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def formula(cell, given):
    step, (before, memory) = given
    weights = iter(part.astype(np.float64) for part in cell.get_weights())

    def value():
        share = correlated(step, next(weights))
        bias = next(weights).reshape(-1, *[1] * (step.ndim - 2))
        return share + bias + correlated(before, next(weights))

    f = sigmoid(value() + next(weights) * memory)
    i = sigmoid(value() + next(weights) * memory)
    kept = f * memory + i * np.tanh(value())
    after = sigmoid(value() + next(weights) * kept) * np.tanh(kept)
    return [after, [after, kept]]


CASES = {
    "ConvLSTMPeephole": LayerCase(lambda: ConvLSTMPeephole(2, 3, 3, 3), image, formula),
    "ConvLSTMPeephole-bare": LayerCase(
        lambda: ConvLSTMPeephole(2, 3, 1, 3, 1, -1, SoftSign(), HardSigmoid(), with_peephole=False), image
    ),
    "ConvLSTMPeephole3D": LayerCase(lambda: ConvLSTMPeephole3D(2, 1, 3, 1), volume, formula),
    "Recurrent-ConvLSTMPeephole": LayerCase(
        lambda: Recurrent().add(ConvLSTMPeephole(2, 1, 3, 3, padding=1, with_peephole=False)), normal(2, 2, 2, 3, 3)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_a_decoder_of_images_gives_what_its_cell_gives_step_by_step():
    model = RecurrentDecoder(3).add(ConvLSTMPeephole(3, 3, 3, 3))
    y, (step, states) = model.forward(image[1][0]), (image[1][0], [np.zeros((2, 3, 4, 3)), np.zeros((2, 3, 4, 3))])
    for t in range(3):
        step, states = model.cell.forward([step, states])
        np.testing.assert_allclose(y[:, t], step, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (ConvLSTMPeephole(3, 3, 3, 3), r"got steps of shape \(2, 2, 4, 3\), expected \(N, 3, ...\)"),
        (ConvLSTMPeephole3D(2, 3, 3, 3), "with 3 spatial dimensions"),
        (ConvLSTMPeephole(2, 3, 3, 3, 2), "got stride 2 and padding -1, which change the size"),
        (ConvLSTMPeephole(2, 3, 3, 5, 1, 1), "got stride 1 and padding 1, which change the size"),
    ],
)
def test_what_is_refused(cell, message):
    with pytest.raises(ValueError, match=message):
        Recurrent().add(cell).forward(normal(2, 3, 2, 4, 3))
