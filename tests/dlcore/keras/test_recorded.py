"""Layers, losses and a training give the numbers that Keras 3 gives, gradients included: see
tests/golden/keras/record.py."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dlcore.keras import layer as k
from dlcore.keras.objectives import loss_of
from dlcore.keras.topology import Sequential
from dlcore.optim.method import SGD

FILE = Path(__file__).parents[2] / "golden/keras/recorded.npz"


def recorded():
    """Case -> array -> its values."""
    with np.load(FILE) as archive:
        shapes, rest = json.loads(str(archive["shapes"])), archive["numbers"]
    found = {}
    for case, of_case in shapes.items():
        found[case] = {}
        for key, shape in of_case.items():
            numbers, rest = np.split(rest, [math.prod(shape)])
            found[case][key] = numbers.reshape(shape)
    return found


RECORDED = recorded()

TF = {"dim_ordering": "tf"}
SIGMOIDS = {"inner_activation": "sigmoid", "return_sequences": True, "go_backwards": True}

LAYERS = {
    "Dense": lambda **o: k.Dense(5, activation="tanh", **o),
    "Dense-steps": lambda **o: k.Dense(5, **o),
    "Embedding": lambda **o: k.Embedding(6, 3, **o),
    "BatchNormalization": k.BatchNormalization,
    "BatchNormalization-th": k.BatchNormalization,
    "BatchNormalization-tf": lambda **o: k.BatchNormalization(**TF, **o),
    "BatchNormalization-steps": lambda **o: k.BatchNormalization(axis=-1, **o),
    "Flatten": k.Flatten,
    "Reshape": lambda **o: k.Reshape((5, -1), **o),
    "RepeatVector": lambda **o: k.RepeatVector(3, **o),
    "Permute": lambda **o: k.Permute((3, 1, 2), **o),
    "Masking": k.Masking,
    "Convolution3D-th": lambda **o: k.Convolution3D(3, 2, 3, 1, border_mode="same", **o),
    "Convolution3D-tf": lambda **o: k.Convolution3D(3, 2, 3, 1, subsample=(2, 1, 1), **TF, **o),
    "AtrousConvolution1D": lambda **o: k.AtrousConvolution1D(4, 2, atrous_rate=2, **o),
    "AtrousConvolution2D-th": lambda **o: k.AtrousConvolution2D(4, 2, 2, atrous_rate=(2, 3), border_mode="same", **o),
    "Deconvolution2D-th": lambda **o: k.Deconvolution2D(3, 3, 2, (None, 3, 13, 10), subsample=(2, 2), **o),
    "Deconvolution2D-tf": lambda **o: k.Deconvolution2D(3, 2, 3, None, border_mode="same", subsample=(2, 1), **TF, **o),
    "Deconvolution2D-larger": lambda **o: k.Deconvolution2D(2, 3, 2, (None, 20, 15, 2), subsample=(3, 3), **TF, **o),
    "SeparableConvolution2D-th": lambda **o: k.SeparableConvolution2D(
        4, 3, 2, depth_multiplier=2, border_mode="same", **o
    ),
    "SeparableConvolution2D-tf": lambda **o: k.SeparableConvolution2D(4, 3, 2, depth_multiplier=2, **TF, **o),
    "Cropping1D": lambda **o: k.Cropping1D((1, 2), **o),
    "Cropping2D-th": lambda **o: k.Cropping2D(((1, 2), (0, 1)), **o),
    "Cropping2D-tf": lambda **o: k.Cropping2D(((1, 2), (0, 1)), **TF, **o),
    "Cropping3D-th": lambda **o: k.Cropping3D(((1, 0), (1, 2), (0, 1)), **o),
    "Cropping3D-tf": lambda **o: k.Cropping3D(((1, 0), (1, 2), (0, 1)), **TF, **o),
    "UpSampling1D": lambda **o: k.UpSampling1D(3, **o),
    "UpSampling2D-th": lambda **o: k.UpSampling2D((1, 2), **o),
    "UpSampling2D-tf": lambda **o: k.UpSampling2D((1, 2), **TF, **o),
    "UpSampling3D-th": lambda **o: k.UpSampling3D((2, 1, 2), **o),
    "UpSampling3D-tf": lambda **o: k.UpSampling3D((2, 1, 2), **TF, **o),
    "ZeroPadding1D": lambda **o: k.ZeroPadding1D((2, 1), **o),
    "ZeroPadding2D-th": lambda **o: k.ZeroPadding2D((1, 2, 0, 3), **o),
    "ZeroPadding2D-tf": lambda **o: k.ZeroPadding2D((1, 2), **TF, **o),
    "ZeroPadding3D-th": lambda **o: k.ZeroPadding3D((1, 0, 2), **o),
    "ZeroPadding3D-tf": lambda **o: k.ZeroPadding3D((1, 0, 2), **TF, **o),
    "GlobalMaxPooling1D": k.GlobalMaxPooling1D,
    "GlobalAveragePooling1D": k.GlobalAveragePooling1D,
    "GlobalMaxPooling2D-th": k.GlobalMaxPooling2D,
    "GlobalMaxPooling2D-tf": lambda **o: k.GlobalMaxPooling2D(**TF, **o),
    "GlobalAveragePooling2D-th": k.GlobalAveragePooling2D,
    "GlobalAveragePooling2D-tf": lambda **o: k.GlobalAveragePooling2D(**TF, **o),
    "GlobalMaxPooling3D-tf": lambda **o: k.GlobalMaxPooling3D(**TF, **o),
    "GlobalAveragePooling3D-tf": lambda **o: k.GlobalAveragePooling3D(**TF, **o),
    "ELU": lambda **o: k.ELU(0.7, **o),
    "LeakyReLU": lambda **o: k.LeakyReLU(0.2, **o),
    "ThresholdedReLU": lambda **o: k.ThresholdedReLU(0.4, **o),
    "SimpleRNN": lambda **o: k.SimpleRNN(4, **o),
    "SimpleRNN-sequences": lambda **o: k.SimpleRNN(4, "relu", True, True, **o),
    "LSTM": lambda **o: k.LSTM(4, **o),
    "LSTM-sequences": lambda **o: k.LSTM(4, **SIGMOIDS, **o),
    "GRU": lambda **o: k.GRU(4, **o),
    "GRU-sequences": lambda **o: k.GRU(4, **SIGMOIDS, **o),
    "ConvLSTM2D": lambda **o: k.ConvLSTM2D(2, 3, 3, **TF, **o),
    "ConvLSTM2D-sequences": lambda **o: k.ConvLSTM2D(2, 3, 3, **TF, **SIGMOIDS, **o),
    "TimeDistributed": lambda **o: k.TimeDistributed(k.Convolution2D(3, 2, 2, **TF), **o),
    "Bidirectional-concat": lambda **o: k.Bidirectional(
        k.LSTM(4, inner_activation="sigmoid", return_sequences=True), **o
    ),
    "Bidirectional-sum": lambda **o: k.Bidirectional(k.SimpleRNN(4), "sum", **o),
    "Bidirectional-mul": lambda **o: k.Bidirectional(k.SimpleRNN(4, return_sequences=True), "mul", **o),
    "Bidirectional-ave": lambda **o: k.Bidirectional(k.GRU(4, inner_activation="sigmoid"), "ave", **o),
}
for mode in ("sum", "mul", "ave", "max", "concat", "dot"):
    LAYERS[f"Merge-{mode}"] = lambda mode=mode, **o: k.Merge(mode=mode, **o)
for name in ("elu", "relu", "relu6", "sigmoid", "softmax", "softplus", "softsign", "tanh", "hard_sigmoid"):
    LAYERS[f"Activation-{name}"] = lambda name=name, **o: k.Activation(name, **o)
LAYERS["Activation-softmax-steps"] = lambda **o: k.Activation("softmax", **o)
for border in ("valid", "same"):
    for suffix, stride in {"": 1, "-strided": 2}.items():
        end, pair, triple = f"-{border}{suffix}", (stride, stride), (stride, stride, stride)
        LAYERS |= {
            f"Convolution1D{end}": lambda s=stride, b=border, **o: k.Convolution1D(
                4, 3, border_mode=b, subsample_length=s, **o
            ),
            f"Convolution2D-th{end}": lambda s=pair, b=border, **o: k.Convolution2D(
                4, 3, 2, activation="relu", border_mode=b, subsample=s, **o
            ),
            f"Convolution2D-tf{end}": lambda s=pair, b=border, **o: k.Convolution2D(
                4, 3, 2, border_mode=b, subsample=s, bias=False, **TF, **o
            ),
        }
        for kind in ("Max", "Average"):
            of = {rank: getattr(k, f"{kind}Pooling{rank}D") for rank in (1, 2, 3)}
            LAYERS |= {
                f"{kind}Pooling1D{end}": lambda of=of, s=stride, b=border, **o: of[1](3, s, b, **o),
                f"{kind}Pooling2D-th{end}": lambda of=of, s=pair, b=border, **o: of[2]((3, 2), s, b, **o),
                f"{kind}Pooling2D-tf{end}": lambda of=of, s=pair, b=border, **o: of[2]((3, 2), s, b, **TF, **o),
                f"{kind}Pooling3D-tf{end}": lambda of=of, s=triple, b=border, **o: of[3]((2, 3, 1), s, b, **TF, **o),
            }


def gates(weight, order):
    """The blocks of the last dimension, (..., gates * H), in another order, one below the other: (gates * H, ...)."""
    blocks = np.split(weight, max(order) + 1, axis=-1)
    return np.concatenate([np.moveaxis(blocks[gate], -1, 0) for gate in order])


def kernel(weight):
    """(*kernel, in, out) -> (out, in, *kernel), of one column for sequences."""
    moved = np.moveaxis(weight, (-1, -2), (0, 1))
    return moved[..., None] if moved.ndim == 3 else moved


def lstm(weight, hidden, bias):
    return [gates(weight, (0, 2, 1, 3)), gates(bias, (0, 2, 1, 3)), gates(hidden, (0, 2, 1, 3))]


def gru(weight, hidden, bias):
    return [gates(weight, (1, 0, 2)), gates(bias, (1, 0, 2)), gates(hidden[:, :8], (1, 0)), hidden[:, 8:].T]


def simple(weight, hidden, bias):
    return [weight.T, bias, hidden.T]


def convolutional(weight, hidden, bias):
    """Forget gate, input gate, candidate, output gate; each of the input, its bias, of the output before."""
    parts = [np.split(each, 4, axis=-1) for each in (weight, bias, hidden)]
    return [kernel(part[gate]) if part[gate].ndim == 4 else part[gate] for gate in (1, 0, 2, 3) for part in parts]


ORDERS = {
    "Dense": lambda weight, bias: [weight.T, bias],
    "SeparableConvolution2D": lambda depth, point, bias: [
        depth.transpose(2, 3, 0, 1).reshape(-1, 1, *depth.shape[:2]),
        kernel(point),
        bias,
    ],
    "Deconvolution2D": lambda weight, bias: [weight.transpose(3, 2, 0, 1), bias],
    "SimpleRNN": simple,
    "LSTM": lstm,
    "GRU": gru,
    "ConvLSTM2D": convolutional,
    "Bidirectional-concat": lambda *both: lstm(*both[:3]) + lstm(*both[3:]),
    "Bidirectional-sum": lambda *both: simple(*both[:3]) + simple(*both[3:]),
    "Bidirectional-mul": lambda *both: simple(*both[:3]) + simple(*both[3:]),
    "Bidirectional-ave": lambda *both: gru(*both[:3]) + gru(*both[3:]),
}
"""Keras's weights, or their gradients, in the order and shapes of `named_parameters()`."""


def ordered(name, weights):
    """`weights` of the case `name` as this engine has them."""
    order = ORDERS.get(name) or ORDERS.get(name.partition("-")[0])
    return order(*weights) if order else [kernel(weight) if weight.ndim > 2 else weight for weight in weights]


def group(arrays, prefix):
    """arrays[prefix0], arrays[prefix1], ..."""
    return [arrays[f"{prefix}{i}"] for i in range(len(arrays)) if f"{prefix}{i}" in arrays]


def close(got, expected):
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    arrays = RECORDED[name]
    inputs, weights = group(arrays, "x"), group(arrays, "w")
    x = inputs if len(inputs) > 1 else inputs[0]
    shapes = [each.shape[1:] for each in inputs]
    layer = LAYERS[name](input_shape=shapes if len(inputs) > 1 else shapes[0])
    parameters = list(layer.named_parameters().values())
    for parameter, weight in zip(parameters, ordered(name, weights), strict=True):
        assert parameter.value.shape == weight.shape
        parameter.assign(weight)
    close(layer.forward(x), arrays["y"])
    grad_x = layer.backward(x, arrays["gy"])
    for got, expected in zip(grad_x if len(inputs) > 1 else [grad_x], group(arrays, "gx"), strict=True):
        close(got, expected)
    for parameter, expected in zip(parameters, ordered(name, group(arrays, "gw")), strict=True):
        close(parameter.grad, expected)


def test_cosine():
    """As Keras 3's, in the shape that Keras 1 gives it."""
    arrays = RECORDED["Merge-cos"]
    layer = k.Merge(mode="cos", input_shape=[(4,), (4,)])
    close(layer.forward(group(arrays, "x")), arrays["y"][:, None])


LOSSES = {
    "binary_crossentropy": "binary_crossentropy",
    "categorical_crossentropy": "categorical_crossentropy",
    "hinge": "hinge",
    "kld": "kl_divergence",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
    "poisson": "poisson",
    "sparse_categorical_crossentropy": "sparse_categorical_crossentropy",
    "squared_hinge": "squared_hinge",
    "cosine_proximity": "cosine_similarity",
}
"""Loss -> its name in Keras 3."""


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    arrays = RECORDED[f"loss-{LOSSES[name]}"]
    criterion, output, target = loss_of(name), arrays["output"], arrays["target"]
    share = (
        1 / output.shape[1] if name == "cosine_proximity" else 1
    )  # Keras 1 takes the mean where Keras 3 takes the sum
    assert criterion.forward(output, target) == pytest.approx(share * float(arrays["value"]), rel=1e-5)
    close(criterion.backward(output, target), share * arrays["grad"])


def test_training():
    arrays = RECORDED["training"]
    model = Sequential().add(k.Dense(5, activation="tanh", input_shape=(4,))).add(k.Dense(3, activation="softmax"))
    model.set_weights([weight.T for weight in group(arrays, "start")])
    model.compile(SGD(0.5), "sparse_categorical_crossentropy")
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    history = model.fit(arrays["x"], arrays["labels"], 30, epochs=6, class_weight=weights).history
    for got, expected in zip(model.get_weights(), group(arrays, "end"), strict=True):
        close(got, expected.T)
    close(history["loss"], arrays["losses"])
    assert model.evaluate(arrays["x"], arrays["labels"])[0].result == pytest.approx(float(arrays["loss"]), rel=1e-5)


def test_all_that_is_recorded_is_compared():
    named = {*LAYERS, "Merge-cos", "training", *(f"loss-{name}" for name in LOSSES.values())}
    assert RECORDED.keys() == named
