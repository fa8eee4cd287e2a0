"""Models of sequences and trees: sizes, shapes, plans and files, and one small network that learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcore.inference import compile
from dlcore.interop.native import load_module
from dlcore.models.language_model import lstm_language_model
from dlcore.models.rnn import simple_rnn
from dlcore.models.text_classifier import text_classifier
from dlcore.models.tree_lstm_sentiment import tree_lstm_sentiment
from dlcore.nn.criterion import CrossEntropyCriterion, TimeDistributedCriterion
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG
from tests.dlcore.nn.layers.test_tree import TREES

DRAWS = np.random.default_rng(8)
WORDS = DRAWS.integers(1, 10, (3, 7))
VECTORS = DRAWS.standard_normal((3, 50, 20)).astype(np.float32)
TABLE = DRAWS.standard_normal((9, 5)).astype(np.float32)

# Name -> model, an input, the shape of its output, and its learned numbers, added up by hand.
MODELS: dict[str, tuple[Callable[[], Module], Any, tuple[int, ...], int]] = {
    "rnn": (lambda: simple_rnn(20, 16, 9), VECTORS, (3, 50, 9), 16 * (20 + 1 + 16 + 1) + 9 * 17),
    "language model": (
        lambda: lstm_language_model(9, 8, 10, 2),
        WORDS,
        (3, 7, 10),
        9 * 8 + 2 * 4 * 8 * (8 + 8 + 1) + 10 * 9,
    ),
    "language model, dropout": (
        lambda: lstm_language_model(9, 8, 10, 1, 0.7),
        WORDS,
        (3, 7, 10),
        9 * 8 + 4 * 8 * (8 + 8 + 1) + 10 * 9,
    ),
    "text, cnn": (
        lambda: text_classifier(4, "cnn", 20, 50),
        VECTORS.swapaxes(1, 2),
        (3, 4),
        128 * (20 * 5 + 1) + 128 * (128 * 5 + 1) + 100 * 129 + 4 * 101,
    ),
    "text, lstm": (
        lambda: text_classifier(4, "lstm", 20, p=0.1),
        VECTORS,
        (3, 4),
        4 * 128 * (20 + 128 + 1) + 100 * 129 + 4 * 101,
    ),
    "text, gru": (
        lambda: text_classifier(4, "gru", 20),
        VECTORS,
        (3, 4),
        3 * 128 * (20 + 128 + 1) + 100 * 129 + 4 * 101,
    ),
    "tree": (
        lambda: tree_lstm_sentiment(TABLE, 6, 3),
        [WORDS[:, :3], TREES],
        (3, 7, 3),
        9 * 5 + 10 * 6 * 7 + 2 * 6 * 6 + 3 * 7,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, tmp_path: Path) -> None:
    build, x, shape, count = MODELS[name]
    model = build().evaluate()
    y = model.forward(x)
    assert sum(parameter.value.size for parameter in model.named_parameters().values()) == count
    assert y.shape == shape
    given = [part.shape for part in x] if isinstance(x, list) else x.shape
    assert model.output_shape(given) == shape
    np.testing.assert_allclose(compile(model, given)(x), y, atol=1e-5)
    np.testing.assert_array_equal(load_module(model.save(tmp_path / "model")).forward(x), y)


def test_trees_begin_with_the_vectors_they_are_given() -> None:
    np.testing.assert_array_equal(tree_lstm_sentiment(TABLE, 6, 3).find("words").get_weights()[0], TABLE)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="got encoder 'mlp', expected one of"):
        text_classifier(3, "mlp")
    with pytest.raises(ValueError, match="expected at least 29"):
        text_classifier(3, sequence_len=28)
    with pytest.raises(ValueError, match="with 50 planes, expected 20"):
        text_classifier(4, "cnn", 20, 50).forward(VECTORS)
    assert text_classifier(3, sequence_len=29).output_shape((None, 50, 29)) == (None, 3)


def test_a_recurrent_network_learns_to_say_what_came_two_steps_before() -> None:
    """One of four symbols: without a memory a quarter of the answers is right."""
    RNG.set_seed(3)
    symbols = np.random.default_rng(4).integers(0, 4, (260, 12))
    x, target = np.eye(4, dtype=np.float32)[symbols], np.roll(symbols, 2, axis=1) + 1
    target[:, :2] = -1
    model = simple_rnn(4, 24, 4)
    criterion = TimeDistributedCriterion(CrossEntropyCriterion(), True)
    Optimizer(model, (x[:200], target[:200]), criterion, MaxIteration(150), 40, Adam(0.01), is_quiet=True).optimize()
    answers = model.evaluate().forward(x[200:]).argmax(axis=2) + 1
    assert (answers == target[200:])[:, 2:].mean() > 0.99
