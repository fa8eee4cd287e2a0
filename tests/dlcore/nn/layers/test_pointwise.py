"""Layers of the family pointwise: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import (
    Abs,
    AddConstant,
    Echo,
    Exp,
    GradientReversal,
    Log,
    MulConstant,
    Negative,
    Power,
    Sqrt,
    Square,
)
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, distinct

CASES = {
    "Echo": LayerCase(Echo, cube, lambda _, x: x),
    "Abs": LayerCase(Abs, distinct, lambda _, x: abs(x)),
    "Square": LayerCase(Square, cube, lambda _, x: x**2),
    "Sqrt": LayerCase(Sqrt, np.abs(cube) + 1, lambda _, x: x**0.5),
    "Exp": LayerCase(Exp, cube, lambda _, x: np.exp(x)),
    "Log": LayerCase(Log, np.abs(cube) + 1, lambda _, x: np.log(x)),
    "Power": LayerCase(lambda: Power(3.0, 1.5, 0.5), cube, lambda _, x: (0.5 + 1.5 * x.astype(np.float64)) ** 3),
    "Negative": LayerCase(Negative, cube, lambda _, x: -x),
    "AddConstant": LayerCase(lambda: AddConstant(1.5), cube, lambda _, x: x + 1.5),
    "MulConstant": LayerCase(lambda: MulConstant(2.5), cube, lambda _, x: 2.5 * x),
    "GradientReversal": LayerCase(GradientReversal, cube, lambda _, x: x, is_differentiable=False),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_an_echo_says_what_passes(capsys):
    layer = Echo().set_name("here")
    layer.forward(cube)
    layer.backward(cube, cube)
    assert capsys.readouterr().out == "here: activation of shape (2, 3, 4)\nhere: gradient of shape (2, 3, 4)\n"
