"""The operations of ONNX: a row per layer and variant, called as the package that has them."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.interop.topology import Decoder, Encoder
from dlcore.nn import layer
from dlcore.nn.onnx.layer import Constant, Gather, Gemm, Reshape, Shape
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import cube, normal, rows

b, c = normal(5, 3, seed=1), normal(4, 3, seed=2)


def alone(make, x, formula):
    return LayerCase(make, x, formula, has_batch=False)


CASES = {
    "onnx.Constant": alone(lambda: Constant(b), rows, lambda _, x: b),
    "onnx.Gather": LayerCase(
        Gather,
        [cube, np.array([[1, 0, -1], [0, 1, 1]])],
        lambda _, x: np.array([[x[0][i] for i in row] for row in x[1]]),
        has_batch=False,
        is_differentiable=False,
    ),
    "onnx.Gemm": alone(lambda: Gemm(b, c), rows, lambda _, x: x @ b + c),
    "onnx.Gemm-transposed": alone(
        lambda: Gemm(b.T, c[0], 0.5, 2.0, 1, 1), rows.T, lambda _, x: 0.5 * np.einsum("km,kn->mn", x, b) + 2 * c[0]
    ),
    "onnx.Reshape": alone(lambda: Reshape([0, -1, 2]), cube, lambda _, x: x.reshape(2, 6, 2)),
    "onnx.Reshape-table": LayerCase(
        Reshape, [cube, np.array([4.0, 6.0])], lambda _, x: x[0].reshape(4, 6), False, is_differentiable=False
    ),
    "onnx.Shape": alone(Shape, cube, lambda _, x: np.array([2, 3, 4])),
}


@pytest.mark.parametrize("name", [name for name in CASES if "table" not in name])
def test_layer(name):
    check_layer(CASES[name])


def test_the_shape_may_come_in():
    """Its output's shape depends on data, so that the harness is not for it."""
    x, module = CASES["onnx.Reshape-table"].x, Reshape()
    np.testing.assert_array_equal(module.forward(x), cube.reshape(4, 6))
    grad = normal(4, 6)
    back = module.backward(x, grad)
    np.testing.assert_array_equal(back[0], grad.reshape(cube.shape))
    np.testing.assert_array_equal(back[1], [0, 0])


def test_a_slice_taken_twice_has_both_gradients():
    module, places, grad = Gather(), np.array([1, 0, -1]), normal(3, 3, 4)
    module.forward([cube, places])
    np.testing.assert_allclose(module.backward([cube, places], grad)[0], [grad[1], grad[0] + grad[2]], atol=1e-6)


def test_layers_of_one_name_are_told_apart_when_saved():
    ours, theirs = (
        Decoder().module(Encoder().module(Reshape([4, 6]))),
        Decoder().module(Encoder().module(layer.Reshape([4, 6]))),
    )
    assert (type(ours), type(theirs)) == (Reshape, layer.Reshape)


@pytest.mark.parametrize(
    ("module", "x", "message"),
    [
        (Gather(), [cube, np.array([2.0])], r"got places \[2\], expected 0 to 1"),
        (Gemm(b, c), cube, r"got input \(2, 3, 4\) for matrix_b \(5, 3\), expected \(M, 5\), not transposed"),
        (Reshape(), cube, "and no shape, expected a table of data and shape, or shape="),
        (Reshape([5, 5]), cube, r"got input \(2, 3, 4\), expected as many elements as \[5, 5\] has"),
    ],
)
def test_what_does_not_fit_is_refused(module, x, message):
    with pytest.raises(ValueError, match=message):
        module.forward(x)
