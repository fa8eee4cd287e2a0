"""Record what Keras 3 computes: layers, their gradients, losses and a training, into recorded.npz.

Run by hand in an environment of its own, since the project does not depend on Keras:
`python -m venv ENV && ENV/bin/pip install keras==3.15.1 jax==0.10.2`, then `KERAS_BACKEND=jax ENV/bin/python
tests/golden/keras/record.py`.
`shapes` is JSON, case -> array -> its shape; `numbers` has all arrays one after the other. Arrays of a layer: `x0..`
inputs, `w0..` weights in Keras's order, `y` output, `gy` its gradient, drawn, `gx0..` and `gw0..` what comes back.
"""

from __future__ import annotations

import json
from pathlib import Path

import jax
import keras
import numpy as np
from keras import layers as k
from keras import losses, ops

RNG = np.random.default_rng(2016)
STRIDES = {"": 1, "-strided": 2}


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def hard_sigmoid(x):
    """Keras 1's; Keras 3 has another of this name."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


row, rows = drawn(3, 4), [drawn(3, 4), drawn(3, 4)]
steps, movie = drawn(2, 7, 3), drawn(2, 3, 4, 3, 2)
image, planes = drawn(2, 6, 5, 2), drawn(2, 2, 6, 5)
volume, boxes = drawn(1, 4, 5, 3, 2), drawn(1, 2, 4, 5, 3)
FIRST = {"data_format": "channels_first"}

CASES = {
    "Dense": (k.Dense(5, activation="tanh"), row),
    "Dense-steps": (k.Dense(5), steps),
    "Embedding": (k.Embedding(6, 3), RNG.integers(0, 6, (2, 4)).astype(np.float32)),
    "BatchNormalization": (k.BatchNormalization(), row),
    "BatchNormalization-th": (k.BatchNormalization(axis=1), planes),
    "BatchNormalization-tf": (k.BatchNormalization(), image),
    "BatchNormalization-steps": (k.BatchNormalization(), steps),
    "Merge-sum": (k.Add(), rows),
    "Merge-mul": (k.Multiply(), rows),
    "Merge-ave": (k.Average(), rows),
    "Merge-max": (k.Maximum(), rows),
    "Merge-concat": (k.Concatenate(), rows),
    "Merge-dot": (k.Dot(axes=1), rows),
    "Merge-cos": (k.Dot(axes=1, normalize=True), rows),
    "Flatten": (k.Flatten(), volume),
    "Reshape": (k.Reshape((5, -1)), image),
    "RepeatVector": (k.RepeatVector(3), row),
    "Permute": (k.Permute((3, 1, 2)), image),
    "Masking": (k.Masking(0.0), steps * (np.arange(7)[:, None] % 3 > 0)),
    "Convolution3D-th": (k.Conv3D(3, (2, 3, 1), padding="same", **FIRST), boxes),
    "Convolution3D-tf": (k.Conv3D(3, (2, 3, 1), strides=(2, 1, 1)), volume),
    "AtrousConvolution1D": (k.Conv1D(4, 2, dilation_rate=2), steps),
    "AtrousConvolution2D-th": (k.Conv2D(4, 2, dilation_rate=(2, 3), padding="same", **FIRST), planes),
    "Deconvolution2D-th": (k.Conv2DTranspose(3, (3, 2), strides=2, **FIRST), planes),
    "Deconvolution2D-tf": (k.Conv2DTranspose(3, (2, 3), strides=(2, 1), padding="same"), image),
    "Deconvolution2D-larger": (k.Conv2DTranspose(2, (3, 2), strides=3, output_padding=(2, 1)), image),
    "SeparableConvolution2D-th": (k.SeparableConv2D(4, (3, 2), depth_multiplier=2, padding="same", **FIRST), planes),
    "SeparableConvolution2D-tf": (k.SeparableConv2D(4, (3, 2), depth_multiplier=2), image),
    "Cropping1D": (k.Cropping1D((1, 2)), steps),
    "Cropping2D-th": (k.Cropping2D(((1, 2), (0, 1)), **FIRST), planes),
    "Cropping2D-tf": (k.Cropping2D(((1, 2), (0, 1))), image),
    "Cropping3D-th": (k.Cropping3D(((1, 0), (1, 2), (0, 1)), **FIRST), boxes),
    "Cropping3D-tf": (k.Cropping3D(((1, 0), (1, 2), (0, 1))), volume),
    "UpSampling1D": (k.UpSampling1D(3), steps),
    "UpSampling2D-th": (k.UpSampling2D((1, 2), **FIRST), planes),
    "UpSampling2D-tf": (k.UpSampling2D((1, 2)), image),
    "UpSampling3D-th": (k.UpSampling3D((2, 1, 2), **FIRST), boxes),
    "UpSampling3D-tf": (k.UpSampling3D((2, 1, 2)), volume),
    "ZeroPadding1D": (k.ZeroPadding1D((2, 1)), steps),
    "ZeroPadding2D-th": (k.ZeroPadding2D(((1, 2), (0, 3)), **FIRST), planes),
    "ZeroPadding2D-tf": (k.ZeroPadding2D((1, 2)), image),
    "ZeroPadding3D-th": (k.ZeroPadding3D((1, 0, 2), **FIRST), boxes),
    "ZeroPadding3D-tf": (k.ZeroPadding3D((1, 0, 2)), volume),
    "GlobalMaxPooling1D": (k.GlobalMaxPooling1D(), steps),
    "GlobalAveragePooling1D": (k.GlobalAveragePooling1D(), steps),
    "GlobalMaxPooling2D-th": (k.GlobalMaxPooling2D(**FIRST), planes),
    "GlobalMaxPooling2D-tf": (k.GlobalMaxPooling2D(), image),
    "GlobalAveragePooling2D-th": (k.GlobalAveragePooling2D(**FIRST), planes),
    "GlobalAveragePooling2D-tf": (k.GlobalAveragePooling2D(), image),
    "GlobalMaxPooling3D-tf": (k.GlobalMaxPooling3D(), volume),
    "GlobalAveragePooling3D-tf": (k.GlobalAveragePooling3D(), volume),
    "ELU": (k.ELU(0.7), row),
    "LeakyReLU": (k.LeakyReLU(0.2), row),
    "ThresholdedReLU": (k.Activation(lambda x: x * (x > 0.4)), row),
    "SimpleRNN": (k.SimpleRNN(4), steps),
    "SimpleRNN-sequences": (k.SimpleRNN(4, activation="relu", return_sequences=True, go_backwards=True), steps),
    "LSTM": (k.LSTM(4, recurrent_activation=hard_sigmoid), steps),
    "LSTM-sequences": (k.LSTM(4, recurrent_activation="sigmoid", return_sequences=True, go_backwards=True), steps),
    "GRU": (k.GRU(4, recurrent_activation=hard_sigmoid, reset_after=False), steps),
    "GRU-sequences": (
        k.GRU(4, recurrent_activation="sigmoid", reset_after=False, return_sequences=True, go_backwards=True),
        steps,
    ),
    "ConvLSTM2D": (k.ConvLSTM2D(2, 3, recurrent_activation=hard_sigmoid, padding="same"), movie),
    "ConvLSTM2D-sequences": (
        k.ConvLSTM2D(2, 3, recurrent_activation="sigmoid", padding="same", return_sequences=True, go_backwards=True),
        movie,
    ),
    "TimeDistributed": (k.TimeDistributed(k.Conv2D(3, 2)), movie),
    "Bidirectional-concat": (
        k.Bidirectional(k.LSTM(4, recurrent_activation="sigmoid", return_sequences=True)),
        steps,
    ),
    "Bidirectional-sum": (k.Bidirectional(k.SimpleRNN(4), merge_mode="sum"), steps),
    "Bidirectional-mul": (k.Bidirectional(k.SimpleRNN(4, return_sequences=True), merge_mode="mul"), steps),
    "Bidirectional-ave": (k.Bidirectional(k.GRU(4, reset_after=False), merge_mode="ave"), steps),
}
for name in ("elu", "relu", "relu6", "sigmoid", "softmax", "softplus", "softsign", "tanh"):
    CASES[f"Activation-{name}"] = (k.Activation(name), row)
CASES["Activation-hard_sigmoid"] = (k.Activation(hard_sigmoid), 2 * row)
CASES["Activation-softmax-steps"] = (k.Activation("softmax"), steps)
for border in ("valid", "same"):
    for suffix, stride in STRIDES.items():
        end = f"-{border}{suffix}"
        geometry = {"strides": stride, "padding": border}
        CASES[f"Convolution1D{end}"] = (k.Conv1D(4, 3, **geometry), steps)
        CASES[f"Convolution2D-th{end}"] = (k.Conv2D(4, (3, 2), activation="relu", **geometry, **FIRST), planes)
        CASES[f"Convolution2D-tf{end}"] = (k.Conv2D(4, (3, 2), use_bias=False, **geometry), image)
        for kind in ("Max", "Average"):
            make = {rank: getattr(k, f"{kind}Pooling{rank}D") for rank in (1, 2, 3)}
            CASES[f"{kind}Pooling1D{end}"] = (make[1](3, **geometry), steps)
            CASES[f"{kind}Pooling2D-th{end}"] = (make[2]((3, 2), **geometry, **FIRST), planes)
            CASES[f"{kind}Pooling2D-tf{end}"] = (make[2]((3, 2), **geometry), image)
            CASES[f"{kind}Pooling3D-tf{end}"] = (make[3]((2, 3, 1), **geometry), volume)

POSITIVE = RNG.uniform(0.05, 0.95, (5, 4)).astype(np.float32)
SHARES = POSITIVE / POSITIVE.sum(1, keepdims=True)
TARGETS = RNG.uniform(0.05, 0.95, (5, 4)).astype(np.float32)
LABELS = np.array([0, 3, 1, 1, 2], np.float32)
LOSSES = {
    "binary_crossentropy": (POSITIVE, (TARGETS > 0.5).astype(np.float32)),
    "categorical_crossentropy": (SHARES, np.eye(4, dtype=np.float32)[LABELS.astype(int)]),
    "hinge": (drawn(5, 4), np.sign(drawn(5, 4))),
    "kl_divergence": (POSITIVE, TARGETS),
    "mean_absolute_error": (POSITIVE, TARGETS),
    "mean_absolute_percentage_error": (POSITIVE, TARGETS),
    "mean_squared_error": (POSITIVE, TARGETS),
    "mean_squared_logarithmic_error": (POSITIVE, TARGETS),
    "poisson": (POSITIVE, TARGETS),
    "sparse_categorical_crossentropy": (SHARES, LABELS),
    "squared_hinge": (drawn(5, 4), np.sign(drawn(5, 4))),
    "cosine_similarity": (POSITIVE, TARGETS),
}


def layer_arrays(layer, x):
    """The arrays of a case; weights are drawn anew, so that none is 0 or 1 by its initialisation."""
    inputs = x if isinstance(x, list) else [x]
    layer(x)
    for weight in layer.trainable_variables:
        weight.assign(drawn(*weight.shape) * 0.4)
    weights = [weight.value for weight in layer.trainable_variables]
    state = [variable.value for variable in layer.non_trainable_variables]

    options = {"training": True} if isinstance(layer, k.BatchNormalization) else {}

    def computed(weights, inputs):
        return layer.stateless_call(weights, state, inputs if isinstance(x, list) else inputs[0], **options)[0]

    y, pullback = jax.vjp(computed, weights, [jax.numpy.asarray(each) for each in inputs])
    grad_y = drawn(*y.shape)
    grad_weights, grad_inputs = pullback(jax.numpy.asarray(grad_y))
    arrays = {"y": y, "gy": grad_y}
    for prefix, group in (("x", inputs), ("w", weights), ("gx", grad_inputs), ("gw", grad_weights)):
        arrays |= {f"{prefix}{i}": array for i, array in enumerate(group)}
    return arrays


def training():
    """Six full batches of a network with one hidden layer."""
    x, labels = drawn(30, 4), RNG.integers(0, 3, 30).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), k.Dense(5, activation="tanh"), k.Dense(3, activation="softmax")])
    start = model.get_weights()
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    history = model.fit(x, labels, batch_size=30, epochs=6, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, verbose=0).history
    arrays = {"x": x, "labels": labels, "losses": history["loss"], "loss": model.evaluate(x, labels, verbose=0)}
    for prefix, group in (("start", start), ("end", model.get_weights())):
        arrays |= {f"{prefix}{i}": array for i, array in enumerate(group)}
    return arrays


def main():
    keras.utils.set_random_seed(1)
    found = {"training": training()} | {name: layer_arrays(*case) for name, case in CASES.items()}
    for name, (output, target) in LOSSES.items():
        loss = getattr(losses, name)
        value, grad = jax.value_and_grad(lambda y, loss=loss, target=target: ops.mean(loss(target, y)))(output)
        found[f"loss-{name}"] = {"output": output, "target": target, "value": value, "grad": grad}
    arrays = {name: {key: np.asarray(array, np.float32) for key, array in case.items()} for name, case in found.items()}
    shapes = {name: {key: array.shape for key, array in case.items()} for name, case in arrays.items()}
    numbers = np.concatenate([array.reshape(-1) for case in arrays.values() for array in case.values()])
    np.savez_compressed(Path(__file__).with_name("recorded.npz"), shapes=json.dumps(shapes), numbers=numbers)


if __name__ == "__main__":
    main()
