"""Layers of the family activation: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from dlcore.nn.layer import (
    ELU,
    BinaryThreshold,
    Clamp,
    HardShrink,
    HardSigmoid,
    HardTanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftMax,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Sigmoid,
    SoftMax,
    SoftMin,
    SoftPlus,
    SoftShrink,
    SoftSign,
    SReLU,
    Tanh,
    TanhShrink,
    Threshold,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, distinct, image, rows

CASES = {
    "SReLU": LayerCase(lambda: SReLU([3, 4]), distinct),
    "SReLU-shared": LayerCase(lambda: SReLU([3, 4], [1]), distinct),
    "ReLU": LayerCase(ReLU, distinct, lambda _, x: np.maximum(x, 0)),
    "ReLU6": LayerCase(ReLU6, 2.1 * distinct, lambda _, x: np.clip(x, 0, 6)),
    "HardTanh": LayerCase(lambda: HardTanh(-1.0, 2.0), distinct, lambda _, x: np.clip(x, -1, 2)),
    "Clamp": LayerCase(lambda: Clamp(-2, 1), distinct, lambda _, x: np.clip(x, -2, 1)),
    "Tanh": LayerCase(Tanh, cube, lambda _, x: np.tanh(x)),
    "Sigmoid": LayerCase(Sigmoid, cube, lambda _, x: special.expit(x)),
    "HardSigmoid": LayerCase(HardSigmoid, distinct, lambda _, x: np.clip(0.2 * x + 0.5, 0, 1)),
    "LogSigmoid": LayerCase(LogSigmoid, cube, lambda _, x: np.log(special.expit(x))),
    "SoftMax": LayerCase(SoftMax, image, lambda _, x: special.softmax(x, axis=1)),
    "SoftMax-rows": LayerCase(SoftMax, rows, lambda _, x: special.softmax(x, axis=1)),
    "SoftMin": LayerCase(SoftMin, rows, lambda _, x: special.softmax(-x, axis=1)),
    "LogSoftMax": LayerCase(LogSoftMax, rows, lambda _, x: special.log_softmax(x, axis=1)),
    "ELU": LayerCase(lambda: ELU(0.7), distinct, lambda _, x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1))),
    "LeakyReLU": LayerCase(lambda: LeakyReLU(0.1), distinct, lambda _, x: np.where(x > 0, x, 0.1 * x)),
    "RReLU": LayerCase(RReLU, distinct),
    "PReLU": LayerCase(PReLU, distinct, lambda _, x: np.where(x > 0, x, 0.25 * x)),
    "PReLU-planes": LayerCase(lambda: PReLU(3), distinct, lambda _, x: np.where(x > 0, x, 0.25 * x)),
    "SoftPlus": LayerCase(lambda: SoftPlus(2.0), cube, lambda _, x: np.log1p(np.exp(2 * x)) / 2),
    "SoftSign": LayerCase(SoftSign, distinct, lambda _, x: x / (1 + np.abs(x))),
    "SoftShrink": LayerCase(
        lambda: SoftShrink(0.3), distinct, lambda _, x: np.sign(x) * np.maximum(np.abs(x) - 0.3, 0)
    ),
    "HardShrink": LayerCase(lambda: HardShrink(0.3), distinct, lambda _, x: np.where(np.abs(x) > 0.3, x, 0)),
    "TanhShrink": LayerCase(TanhShrink, cube, lambda _, x: x - np.tanh(x)),
    "Threshold": LayerCase(lambda: Threshold(0.1, -0.2), distinct, lambda _, x: np.where(x > 0.1, x, -0.2)),
    "BinaryThreshold": LayerCase(BinaryThreshold, distinct, lambda _, x: x > 1e-6, is_differentiable=False),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_a_binary_threshold_hands_the_gradient_through_above_it():
    layer = BinaryThreshold(0.5)
    x = np.array([0.2, 0.5, 0.7, 3])
    np.testing.assert_array_equal(layer.forward(x), [0, 0, 1, 1])
    np.testing.assert_array_equal(layer.backward(x, np.arange(1.0, 5)), [0, 0, 3, 4])


def test_a_prelu_says_which_shape_it_wants():
    with pytest.raises(ValueError, match=r"PReLU: got input \(2, 3, 4\), expected \(N, 5, ...\)"):
        PReLU(5).forward(cube)
