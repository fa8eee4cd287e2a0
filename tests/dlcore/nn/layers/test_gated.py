"""Layers of the family gated: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from dlcore.nn.layer import GELU, SiLU
from dlcore.nn.layers.gated import erf
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube


def slow_tanh_gelu(_, x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


CASES = {
    "SiLU": LayerCase(SiLU, cube, lambda _, x: x * special.expit(x)),
    "GELU": LayerCase(GELU, cube, lambda _, x: x * stats.norm.cdf(x)),
    "GELU-approximate": LayerCase(lambda: GELU(True), cube, slow_tanh_gelu),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_the_error_function_is_that_of_scipy():
    x = np.linspace(-7, 7, 20001)
    np.testing.assert_allclose(erf(x.astype(np.float32)), special.erf(x), atol=5e-7)
    np.testing.assert_allclose(erf(x), special.erf(x), rtol=1e-15)
