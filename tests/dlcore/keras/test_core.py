"""Keras layers on vectors, and those that rearrange: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.keras.layer import (
    Activation,
    Dense,
    Embedding,
    Flatten,
    Highway,
    InputLayer,
    Masking,
    MaxoutDense,
    Permute,
    RepeatVector,
    Reshape,
)
from dlcore.testing import LayerCase, check_layer

rng = np.random.default_rng(7)
rows = rng.standard_normal((4, 5)).astype(np.float32)
steps = rng.standard_normal((2, 6, 5)).astype(np.float32)
volume = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
is_masked = np.arange(6)[:, None] % 3 == 1
masked = np.where(is_masked, 7, steps)


def values(module):
    """The parameters in order, in float64."""
    return [parameter.value.astype(np.float64) for parameter in module.named_parameters().values()]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(module, x):
    weight, bias = values(module)
    return np.einsum("...i,oi->...o", x, weight) + bias


def dense_softmax(module, x):
    powers = np.exp(dense(module, x))
    return powers / powers.sum(-1, keepdims=True)


def largest_of_three(module, x):
    weight, bias = values(module)
    pieces = (x @ weight.T + bias).reshape(len(x), 3, 4)
    return np.array([[max(pieces[n, :, o]) for o in range(4)] for n in range(len(x))])


def highway(module, x):
    gate, gate_bias, weight, bias = values(module)
    opening = sigmoid(x @ gate.T + gate_bias)
    return opening * np.tanh(x @ weight.T + bias) + (1 - opening) * x


def rows_at(module, x):
    (weight,) = values(module)
    return np.array([[weight[int(place)] for place in row] for row in x])


CASES = {
    "Activation": LayerCase(lambda: Activation("tanh", input_shape=(5,)), rows, lambda m, x: np.tanh(x)),
    "Activation-linear": LayerCase(lambda: Activation("linear", input_shape=(5,)), rows, lambda m, x: x),
    "Dense": LayerCase(lambda: Dense(3, input_shape=(5,)), rows, dense),
    "Dense-input_dim": LayerCase(
        lambda: Dense(3, activation="sigmoid", input_dim=5), rows, lambda m, x: sigmoid(dense(m, x))
    ),
    "Dense-no-bias": LayerCase(
        lambda: Dense(3, bias=False, input_shape=(5,)), rows, lambda m, x: x @ m.get_weights()[0].T
    ),
    "Dense-steps": LayerCase(lambda: Dense(3, activation="softmax", input_shape=(6, 5)), steps, dense_softmax),
    "Dense-unknown-steps": LayerCase(lambda: Dense(3, input_shape=(None, 5)), steps, dense),
    "Embedding": LayerCase(
        lambda: Embedding(9, 4, input_shape=(3,)), rng.integers(0, 9, (5, 3)), rows_at, is_differentiable=False
    ),
    "Flatten": LayerCase(lambda: Flatten(input_shape=(3, 4, 5)), volume, lambda m, x: x.reshape(2, 60)),
    "Flatten-unknown": LayerCase(lambda: Flatten(input_shape=(3, None, 5)), volume, lambda m, x: x.reshape(2, 60)),
    "Highway": LayerCase(lambda: Highway(activation="tanh", input_shape=(5,)), rows, highway),
    "InputLayer": LayerCase(lambda: InputLayer(input_shape=(5,)), rows, lambda m, x: x),
    "Masking": LayerCase(
        lambda: Masking(7.0, input_shape=(6, 5)),
        masked,
        lambda m, x: np.where(is_masked, 0, x),
        is_differentiable=False,
    ),
    "MaxoutDense": LayerCase(lambda: MaxoutDense(4, 3, input_dim=5), rows, largest_of_three),
    "Permute": LayerCase(
        lambda: Permute((2, 3, 1), input_shape=(3, 4, 5)), volume, lambda m, x: np.transpose(x, (0, 2, 3, 1))
    ),
    "RepeatVector": LayerCase(
        lambda: RepeatVector(3, input_shape=(5,)), rows, lambda m, x: np.stack([x, x, x], axis=1)
    ),
    "Reshape": LayerCase(lambda: Reshape((4, -1), input_shape=(3, 4, 5)), volume, lambda m, x: x.reshape(2, 4, 15)),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_what_a_layer_says_of_itself():
    layer = Dense(3, input_shape=(5,), name="hidden", trainable=False)
    assert layer.label() == "Dense 'hidden'"
    assert (layer.get_input_shape(), layer.get_output_shape()) == ((None, 5), (None, 3))
    assert not layer.learns()


def test_options_of_keras():
    assert Dense(3, batch_input_shape=(None, 5)).get_input_shape() == (None, 5)
    assert InputLayer((3, 4)).get_output_shape() == (None, 3, 4)
    with pytest.raises(TypeError, match="unexpected keyword argument 'units'"):
        Dense(3, units=4)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"got no input shape.*pass input_shape"):
        Dense(3).forward(rows)
    with pytest.raises(ValueError, match=r"Highway: got input shape \(6, 5\), expected 1 dimensions"):
        Highway(input_shape=(6, 5))
    with pytest.raises(ValueError, match="got activation 'swoosh', expected one of elu, hard_sigmoid"):
        Dense(3, activation="swoosh", input_shape=(5,))
    with pytest.raises(ValueError, match="got initialisation 'best', expected one of glorot_normal"):
        Dense(3, init="best", input_shape=(5,))
    with pytest.raises(ValueError, match=r"got dims \(1, 3\), expected an order of 1 to 2"):
        Permute((1, 3), input_shape=(6, 5))
    with pytest.raises(ValueError, match=r"got input shape \(None,\), expected all sizes to be known"):
        Dense(3, input_shape=(4, None))
