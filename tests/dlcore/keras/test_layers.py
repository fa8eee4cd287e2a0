"""Keras layers on images, volumes and sequences keep what every layer promises; their numbers: test_recorded, and loops
below."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from dlcore.keras import layer as k
from dlcore.nn.layer import Linear
from dlcore.nn.module import Module
from dlcore.nn.regularizer import L2Regularizer
from dlcore.rng import RNG
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.keras import test_core
from tests.dlcore.nn.layers.arrays import apart, normal

image, planes, volume = normal(2, 5, 6, 2), normal(2, 2, 5, 6), normal(2, 2, 3, 4, 3)
row, steps, movie = normal(4, 5), normal(2, 5, 3), normal(2, 2, 3, 3, 1)
distinct, rows = apart(2, 2, 5, 6), [normal(3, 4, seed=1), normal(3, 4, seed=2)]
OF_IMAGE, OF_PLANES, OF_STEPS = {"input_shape": (5, 6, 2)}, {"input_shape": (2, 5, 6)}, {"input_shape": (5, 3)}
OF_VOLUME, OF_ROW, OF_ROWS = {"input_shape": (2, 3, 4, 3)}, {"input_shape": (5,)}, {"input_shape": [(4,), (4,)]}
SAME, TF = {"border_mode": "same"}, {"dim_ordering": "tf"}


def windows(x, size, stride):
    """(place, window (N, C, *size)) of each window of (N, C, H, W), row by row."""
    for i in range(0, x.shape[2] - size[0] + 1, stride[0]):
        for j in range(0, x.shape[3] - size[1] + 1, stride[1]):
            yield (i // stride[0], j // stride[1]), x[:, :, i : i + size[0], j : j + size[1]]


def local_2d(layer, x):
    """Each window times the weights of its own place."""
    weight, bias = (parameter.value for parameter in layer.named_parameters().values())
    found = {}
    for place, ((i, j), window) in enumerate(windows(x, (3, 2), (2, 1))):
        found[i, j] = window.reshape(len(x), -1) @ weight[place].T + bias[place]
    height, width = (last + 1 for last in max(found))
    return np.stack([np.stack([found[i, j] for j in range(width)], -1) for i in range(height)], -2)


def local_2d_same(layer, x):
    """The same of images with a row of zeros on both sides, and a column after."""
    padded = np.pad(x.transpose(0, 3, 1, 2), [(0, 0), (0, 0), (1, 1), (0, 1)])
    return np.maximum(local_2d(layer, padded), 0).transpose(0, 2, 3, 1)


def local_1d(layer, x):
    weight, bias = (parameter.value for parameter in layer.named_parameters().values())
    return np.stack([x[:, t : t + 3].swapaxes(1, 2).reshape(2, -1) @ weight[t].T + bias[t] for t in range(3)], axis=1)


def atrous(layer, x):
    """Taps two rows and one column apart."""
    weight, bias = (parameter.value for parameter in layer.named_parameters().values())
    y = np.zeros((2, 3, 3, 5))
    for i, j, a, b in np.ndindex(3, 5, 2, 2):
        y[:, :, i, j] += x[:, :, i + 2 * a, j + b] @ weight[:, :, a, b].T
    return y + bias[:, None, None]


def s_shaped(layer, x):
    below, slope_below, above, slope_above = (parameter.value for parameter in layer.named_parameters().values())
    high = np.where(x >= above, above + slope_above * (x - above), x)
    return np.where(x <= below, below + slope_below * (x - below), high)


CASES = {
    "AtrousConvolution1D": LayerCase(lambda: k.AtrousConvolution1D(4, 2, atrous_rate=2, bias=False, **OF_STEPS), steps),
    "AtrousConvolution2D": LayerCase(
        lambda: k.AtrousConvolution2D(3, 2, 2, atrous_rate=(2, 1), **OF_PLANES), planes, atrous
    ),
    "AveragePooling1D": LayerCase(lambda: k.AveragePooling1D(2, 2, **SAME, **OF_STEPS), steps),
    "AveragePooling2D": LayerCase(lambda: k.AveragePooling2D(**SAME, **TF, **OF_IMAGE), image),
    "AveragePooling3D": LayerCase(lambda: k.AveragePooling3D(**OF_VOLUME), volume),
    "BatchNormalization": LayerCase(lambda: k.BatchNormalization(**OF_ROW), row, has_batch=False),
    "BatchNormalization-steps": LayerCase(lambda: k.BatchNormalization(axis=-1, **OF_STEPS), steps, has_batch=False),
    "BatchNormalization-tf": LayerCase(lambda: k.BatchNormalization(**TF, **OF_IMAGE), image, has_batch=False),
    "BatchNormalization-volume": LayerCase(lambda: k.BatchNormalization(**OF_VOLUME), volume, has_batch=False),
    "Bidirectional": LayerCase(lambda: k.Bidirectional(k.LSTM(3, return_sequences=True), **OF_STEPS), steps),
    "Bidirectional-last": LayerCase(lambda: k.Bidirectional(k.SimpleRNN(3, **OF_STEPS), "mul"), steps),
    "ConvLSTM2D": LayerCase(lambda: k.ConvLSTM2D(2, 3, 3, **TF, input_shape=movie.shape[1:]), movie),
    "Convolution1D": LayerCase(lambda: k.Convolution1D(4, 3, **SAME, input_shape=(None, 3)), steps),
    "Convolution2D": LayerCase(lambda: k.Convolution2D(4, 3, 2, activation="tanh", **OF_PLANES), planes),
    "Convolution2D-tf": LayerCase(lambda: k.Convolution2D(4, 3, 2, bias=False, **SAME, **TF, **OF_IMAGE), image),
    "Convolution3D": LayerCase(lambda: k.Convolution3D(3, 2, 3, 1, **OF_VOLUME), volume),
    "Cropping1D": LayerCase(lambda: k.Cropping1D(**OF_STEPS), steps, lambda m, x: x[:, 1:-1]),
    "Cropping2D": LayerCase(
        lambda: k.Cropping2D(((1, 2), (0, 1)), **TF, **OF_IMAGE), image, lambda m, x: x[:, 1:-2, :-1]
    ),
    "Cropping3D": LayerCase(
        lambda: k.Cropping3D(((1, 0), (1, 2), (0, 1)), **OF_VOLUME), volume, lambda m, x: x[:, :, 1:, 1:-2, :-1]
    ),
    "Deconvolution2D": LayerCase(lambda: k.Deconvolution2D(3, 2, 3, None, subsample=(2, 2), **OF_PLANES), planes),
    "Deconvolution2D-tf": LayerCase(
        lambda: k.Deconvolution2D(3, 2, 4, (None, 9, 12, 3), **SAME, subsample=(2, 2), **TF, **OF_IMAGE), image
    ),
    "Dropout": LayerCase(lambda: k.Dropout(0.3, **OF_ROW), row),
    "ELU": LayerCase(lambda: k.ELU(0.5, **OF_ROW), row),
    "GRU": LayerCase(lambda: k.GRU(4, return_sequences=True, **OF_STEPS), steps),
    "GaussianDropout": LayerCase(lambda: k.GaussianDropout(0.3, **OF_ROW), row),
    "GaussianNoise": LayerCase(lambda: k.GaussianNoise(0.3, **OF_ROW), row),
    "GlobalAveragePooling1D": LayerCase(lambda: k.GlobalAveragePooling1D(**OF_STEPS), steps, lambda m, x: x.mean(1)),
    "GlobalAveragePooling2D": LayerCase(
        lambda: k.GlobalAveragePooling2D(**TF, **OF_IMAGE), image, lambda m, x: x.mean((1, 2))
    ),
    "GlobalAveragePooling3D": LayerCase(
        lambda: k.GlobalAveragePooling3D(**OF_VOLUME), volume, lambda m, x: x.mean((2, 3, 4))
    ),
    "GlobalMaxPooling1D": LayerCase(lambda: k.GlobalMaxPooling1D(**OF_STEPS), steps, lambda m, x: x.max(1)),
    "GlobalMaxPooling2D": LayerCase(lambda: k.GlobalMaxPooling2D(**OF_PLANES), distinct, lambda m, x: x.max((2, 3))),
    "GlobalMaxPooling3D": LayerCase(lambda: k.GlobalMaxPooling3D(**OF_VOLUME), volume, lambda m, x: x.max((2, 3, 4))),
    "LSTM": LayerCase(lambda: k.LSTM(4, go_backwards=True, **OF_STEPS), steps),
    "LeakyReLU": LayerCase(lambda: k.LeakyReLU(0.2, **OF_ROW), row, lambda m, x: np.where(x > 0, x, 0.2 * x)),
    "LocallyConnected1D": LayerCase(lambda: k.LocallyConnected1D(4, 3, **OF_STEPS), steps, local_1d),
    "LocallyConnected2D": LayerCase(
        lambda: k.LocallyConnected2D(4, 3, 2, subsample=(2, 1), **OF_PLANES), planes, local_2d
    ),
    "LocallyConnected2D-tf": LayerCase(
        lambda: k.LocallyConnected2D(4, 3, 2, "relu", **SAME, subsample=(2, 1), **TF, **OF_IMAGE), image, local_2d_same
    ),
    "MaxPooling1D": LayerCase(lambda: k.MaxPooling1D(**OF_STEPS), steps),
    "MaxPooling2D": LayerCase(lambda: k.MaxPooling2D((3, 2), (1, 2), **OF_PLANES), distinct),
    "MaxPooling3D": LayerCase(lambda: k.MaxPooling3D(**SAME, **OF_VOLUME), volume),
    "Merge": LayerCase(
        lambda: k.Merge([k.Dense(3, input_dim=4), k.ELU(input_shape=(4,))], "concat", 1),
        rows,
        lambda m, x: np.hstack([x[0] @ m.get_weights()[0].T, np.where(x[1] > 0, x[1], np.expm1(x[1]))]),
    ),
    "Merge-cos": LayerCase(
        lambda: k.Merge(mode="cos", **OF_ROWS),
        rows,
        lambda m, x: np.array([[[a @ b / np.linalg.norm(a) / np.linalg.norm(b)]] for a, b in zip(*x, strict=True)]),
    ),
    "SReLU": LayerCase(lambda: k.SReLU(**OF_ROW), row, s_shaped),
    "SReLU-shared": LayerCase(lambda: k.SReLU(shared_axes=(2, 3), **OF_PLANES), planes, s_shaped),
    "SeparableConvolution2D": LayerCase(
        lambda: k.SeparableConvolution2D(3, 2, 3, depth_multiplier=2, **TF, **OF_IMAGE), image
    ),
    "SimpleRNN": LayerCase(lambda: k.SimpleRNN(4, return_sequences=True, input_shape=(None, 3)), steps),
    "SpatialDropout1D": LayerCase(lambda: k.SpatialDropout1D(0.3, **OF_STEPS), steps),
    "SpatialDropout2D": LayerCase(lambda: k.SpatialDropout2D(0.3, **OF_PLANES), planes),
    "SpatialDropout3D": LayerCase(lambda: k.SpatialDropout3D(0.3, **OF_VOLUME), volume),
    "ThresholdedReLU": LayerCase(lambda: k.ThresholdedReLU(0.4, **OF_ROW), row, lambda m, x: np.where(x > 0.4, x, 0)),
    "KerasLayerWrapper": LayerCase(
        lambda: k.KerasLayerWrapper(Linear(5, 3), **OF_ROW),
        row,
        lambda layer, x: x @ layer.get_weights()[0].T + layer.get_weights()[1],
    ),
    "TimeDistributed": LayerCase(lambda: k.TimeDistributed(k.Dense(4, activation="tanh"), **OF_STEPS), steps),
    "UpSampling1D": LayerCase(lambda: k.UpSampling1D(**OF_STEPS), steps, lambda m, x: x.repeat(2, 1)),
    "UpSampling2D": LayerCase(
        lambda: k.UpSampling2D((2, 3), **TF, **OF_IMAGE), image, lambda m, x: x.repeat(2, 1).repeat(3, 2)
    ),
    "UpSampling3D": LayerCase(
        lambda: k.UpSampling3D((1, 2, 3), **OF_VOLUME), volume, lambda m, x: x.repeat(2, 3).repeat(3, 4)
    ),
    "ZeroPadding1D": LayerCase(
        lambda: k.ZeroPadding1D((2, 1), **OF_STEPS), steps, lambda m, x: np.pad(x, [(0, 0), (2, 1), (0, 0)])
    ),
    "ZeroPadding2D": LayerCase(
        lambda: k.ZeroPadding2D((1, 2, 0, 3), **OF_PLANES),
        planes,
        lambda m, x: np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)]),
    ),
    "ZeroPadding3D": LayerCase(
        lambda: k.ZeroPadding3D((1, 0, 2), **OF_VOLUME),
        volume,
        lambda m, x: np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0), (2, 2)]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


KINDS = {name: kind for name, kind in vars(k).items() if isinstance(kind, type) and issubclass(kind, Module)}


def test_every_layer_has_a_case():
    """Here or in test_core."""
    assert {name.partition("-")[0] for name in [*CASES, *test_core.CASES]} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_states_its_shapes_and_its_source(name):
    doc = inspect.getdoc(KINDS[name])
    assert re.search(r"(^|\. )x: .+ -> .+", doc, flags=re.M), "expected 'x: ... -> ...'"
    assert re.search(r"(^|\. )Source: [^.].*\.$", doc, flags=re.M | re.S), "expected 'Source: BigDL's ..., or a paper.'"


@pytest.mark.parametrize("kind", [k.Dropout, k.SpatialDropout1D, k.SpatialDropout2D, k.SpatialDropout3D])
def test_dropout_keeps_the_mean(kind):
    """Whole planes fall together, and what is left is larger: 1 / (1 - p)."""
    RNG.set_seed(3)
    ndim = {"Dropout": 2, "SpatialDropout1D": 3, "SpatialDropout2D": 4, "SpatialDropout3D": 5}[kind.__name__]
    shape = (400, 20, *[2] * (ndim - 2)) if kind is not k.SpatialDropout1D else (400, 2, 20)
    layer = kind(0.2, input_shape=shape[1:])
    y = layer.forward(np.ones(shape))
    np.testing.assert_allclose(np.unique(y), [0, 1.25])
    assert y.mean() == pytest.approx(1, abs=0.03)
    whole = y.max(axis=1) - y.min(axis=1) if ndim == 3 else np.ptp(y.reshape(400, 20, -1), axis=2)
    assert not whole.any()
    np.testing.assert_array_equal(layer.evaluate().forward(np.ones(shape)), np.ones(shape))


def test_weights_begin_as_in_keras():
    RNG.set_seed(1)
    lstm = k.LSTM(8, input_shape=(5, 3))
    weight, bias, hidden = (parameter.value for parameter in lstm.named_parameters().values())
    np.testing.assert_array_equal(bias, np.repeat([0, 0, 1, 0], 8))  # the forget gate is the third
    assert np.abs(weight).max() <= np.sqrt(6 / (3 + 8))
    for block in np.split(hidden, 4):
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-5)
    weight, bias = (
        parameter.value for parameter in k.Dense(50, init="he_normal", input_dim=200).named_parameters().values()
    )
    assert weight.std() == pytest.approx(np.sqrt(2 / 200), rel=0.05)
    assert not bias.any()
    gate = k.Highway(input_dim=3).named_parameters()["body.gate.bias"]
    np.testing.assert_array_equal(gate.value, [-2, -2, -2])


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (
            k.Dense(3, W_regularizer=L2Regularizer(0.1), b_regularizer=L2Regularizer(0.2), input_dim=4),
            ["body.weight", "body.bias"],
        ),
        (k.GRU(3, U_regularizer=L2Regularizer(0.1), input_shape=(5, 4)), ["hidden.weight", "candidate.weight"]),
        (
            k.SeparableConvolution2D(3, 2, 2, pointwise_regularizer=L2Regularizer(0.1), input_shape=(2, 5, 5)),
            ["body.weight"],
        ),
    ],
)
def test_penalties(layer, names):
    penalised = [path for path, parameter in layer.named_parameters().items() if parameter.regularizer is not None]
    assert len(penalised) == len(names)
    assert all(path.endswith(name) for path, name in zip(penalised, names, strict=True))


def test_a_layer_that_does_not_learn_does_so_both_ways():
    assert not k.Bidirectional(k.LSTM(3, trainable=False), **OF_STEPS).learns()
    assert not k.TimeDistributed(k.Dense(3), trainable=False, **OF_STEPS).learns()


def test_double():
    layer = k.Convolution2D(3, 2, 2, activation="tanh", input_shape=(2, 5, 5), bigdl_type="double")
    assert layer.forward(np.ones((1, 2, 5, 5))).dtype == np.float64
    later = k.LSTM(3, bigdl_type="double").build((5, 4))
    assert {parameter.value.dtype for parameter in later.named_parameters().values()} == {np.dtype(np.float64)}


def test_lengths_as_keras_says_them():
    assert k.LSTM(8, input_dim=3, input_length=5).get_input_shape() == (None, 5, 3)
    assert k.GRU(8, input_dim=3).get_output_shape() == (None, 8)
    assert k.Embedding(10, 3, input_length=7).get_output_shape() == (None, 7, 3)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="got dim_ordering 'nchw', expected 'th'"):
        k.MaxPooling2D(dim_ordering="nchw", **OF_PLANES)
    with pytest.raises(ValueError, match="got border_mode 'full', expected 'valid' or 'same'"):
        k.Convolution1D(3, 2, border_mode="full", **OF_STEPS)
    with pytest.raises(ValueError, match="expected a size from which a convolution of kernel 2 and stride 2 gives 5"):
        k.Deconvolution2D(3, 2, 2, (None, 3, 12, 12), subsample=(2, 2), **OF_PLANES)
    with pytest.raises(ValueError, match="put a ZeroPadding1D before it"):
        k.LocallyConnected1D(3, 2, border_mode="same", **OF_STEPS)
    with pytest.raises(ValueError, match="expected a square kernel"):
        k.ConvLSTM2D(2, 3, 2, input_shape=(3, 2, 5, 6))
    with pytest.raises(TypeError, match="got Dense, expected a recurrent layer"):
        k.Bidirectional(k.Dense(3))
    with pytest.raises(ValueError, match="got mode 'mean', expected one of ave, cos, dot"):
        k.Merge(mode="mean", **OF_ROWS)
    with pytest.raises(ValueError, match=r"got input shape \(5,\), expected a list of two or more"):
        k.Merge(**OF_ROW)
    with pytest.raises(ValueError, match="got mode 1 and axis 1, expected mode 0"):
        k.BatchNormalization(mode=1, **OF_ROW)
    with pytest.raises(ValueError, match=r"got probability 1\.0"):
        k.SpatialDropout2D(1.0, **OF_PLANES)
    with pytest.raises(ValueError, match=r"got padding \(1,\), expected \(rows, columns\) or four"):
        k.ZeroPadding2D((1,), **OF_PLANES)


def test_the_output_shape_of_a_transposed_convolution_may_have_the_batch_or_not():
    made = [k.Deconvolution2D(2, 2, 2, given, input_shape=(2, 2, 3)) for given in ((2, 3, 4), (None, 2, 3, 4), None)]
    assert [layer.get_output_shape() for layer in made] == [(None, 2, 3, 4)] * 3
