"""TensorFlow's contender of `bench_training.py`, in an environment of its own: `training_tensorflow.py MODEL BATCH`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from keras import Input, Model, Sequential, applications, layers
from training_contests import (
    CONTESTS,
    EMBEDDED,
    HIDDEN,
    INCEPTION,
    ITEMS,
    LAYERS,
    MOMENTUM,
    PERCEPTRON,
    RATE,
    THREADS,
    USERS,
    serve,
)


def lenet() -> Model:
    first = [layers.Conv2D(6, 5, activation="tanh"), layers.MaxPool2D(), layers.Conv2D(12, 5, activation="tanh")]
    rest = [layers.MaxPool2D(), layers.Flatten(), layers.Dense(100, activation="tanh"), layers.Dense(10)]
    return Sequential([Input((28, 28, 1)), *first, *rest])


def vgg16() -> Model:
    body = applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
    top = [layers.Flatten()]
    for _ in range(2):
        top += [layers.Dense(4096, activation="relu"), layers.Dropout(0.5)]
    return Sequential([body, *top, layers.Dense(1000)])


def resnet50() -> Model:
    return applications.ResNet50(weights=None, classifier_activation=None)


def inception_v1() -> Model:
    def conv(x, size: int, kernel: int, stride: int = 1):
        return layers.Conv2D(size, kernel, stride, "same", activation="relu")(x)

    def normed(x):
        return layers.Lambda(lambda given: tf.nn.local_response_normalization(given, 2, 1.0, 2e-5, 0.75))(x)

    def pooled(x):
        return layers.MaxPool2D(3, 2, "same")(x)

    image = Input((224, 224, 3))
    x = normed(pooled(conv(image, 64, 7, 2)))
    x = pooled(normed(conv(conv(x, 64, 1), 192, 3)))
    for name, (_, one, to3, three, to5, five, behind) in INCEPTION.items():
        ways = [conv(x, one, 1), conv(conv(x, to3, 1), three, 3), conv(conv(x, to5, 1), five, 5)]
        x = layers.Concatenate()([*ways, conv(layers.MaxPool2D(3, 1, "same")(x), behind, 1)])
        x = pooled(x) if name in ("3b", "4e") else x
    return Model(image, layers.Dense(1000)(layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))))


def language_model() -> Model:
    cells = [layers.LSTM(HIDDEN, return_sequences=True) for _ in range(LAYERS)]
    return Sequential([Input((35,)), layers.Embedding(10000, HIDDEN), *cells, layers.Dense(10000)])


def neural_cf() -> Model:
    pair = Input((2,), dtype="int32")
    a, b, c, d = (layers.Embedding(count, EMBEDDED)(pair[:, i % 2]) for i, count in enumerate((USERS, ITEMS) * 2))
    x = layers.Concatenate()([a, b])
    for size in PERCEPTRON:
        x = layers.Dense(size, activation="relu")(x)
    return Model(pair, layers.Dense(5)(layers.Concatenate()([c * d, x])))


MODELS = {
    "lenet": lenet,
    "vgg16": vgg16,
    "resnet50": resnet50,
    "inception_v1": inception_v1,
    "lstm_lm": language_model,
    "ncf": neural_cf,
}


def main(name: str, batch: int) -> None:
    """The step is compiled by tf.function."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    contest, model, rng = CONTESTS[name], MODELS[name](), np.random.default_rng(0)
    row = contest.row if contest.words else (*contest.row[1:], contest.row[0])
    shape = (batch, *row)
    x = rng.integers(0, contest.words, shape) if contest.words else rng.standard_normal(shape, dtype=np.float32)
    given = tf.constant(x, tf.int32 if contest.words else tf.float32)
    target = tf.constant(rng.integers(0, contest.classes, shape if contest.is_sequence else (batch,)), tf.int32)
    method = tf.keras.optimizers.Adam() if contest.adam else tf.keras.optimizers.SGD(RATE, MOMENTUM)
    method.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, model(given, training=True))
            loss = tf.reduce_mean(losses)
        method.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return loss

    serve(lambda: float(step()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
