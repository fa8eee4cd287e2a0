"""Recurrent and recursive networks, and convolutions over words, learn what can be learned: by hand, `make test
RING=convergence`."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from dlcore import kernels
from dlcore.models.language_model import lstm_language_model
from dlcore.models.text_classifier import text_classifier
from dlcore.models.tree_lstm_sentiment import tree_lstm_sentiment
from dlcore.nn.criterion import (
    ClassNLLCriterion,
    CrossEntropyCriterion,
    TimeDistributedCriterion,
    TimeDistributedMaskCriterion,
)
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.metric import TreeNNAccuracy
from dlcore.optim.scoring import evaluate
from dlcore.optim.source import ArraySource
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG

pytestmark = pytest.mark.convergence


def drawn_text(table, count, length, rng):
    """`count` texts of `length` words (0-based), each word drawn by the two before it: table (V, V, V)."""
    limits, size = table.cumsum(axis=2), len(table)
    words = rng.integers(0, size, (count, length + 20))
    for t in range(2, length + 20):
        chance = rng.random((count, 1))
        words[:, t] = (chance > limits[words[:, t - 2], words[:, t - 1]]).sum(axis=1).clip(max=size - 1)
    return words[:, 20:]


def entropies(table):
    """(of a word by the two before it, by the one before it, alone), in nats, of the source in its steady state."""
    pairs = np.full(table.shape[:2], 1 / table[..., 0].size)
    for _ in range(1000):
        pairs = np.einsum("ab,abc->bc", pairs, table)
    joint = pairs[:, :, None] * table
    by_one = joint.sum(axis=0) / pairs.sum(axis=0)[:, None]
    alone = joint.sum(axis=(0, 1))
    both = -(joint * np.log(table)).sum()
    return both, -(joint.sum(axis=0) * np.log(by_one)).sum(), -(alone * np.log(alone)).sum()


def test_a_language_model_reaches_the_entropy_of_its_source():
    """A source of second order: two layers of LSTM come within 1 % of the perplexity that nothing can go below."""
    rng = np.random.default_rng(11)
    table = rng.dirichlet(np.full(6, 0.3), (6, 6)) * 0.994 + 0.001
    least, by_one, alone = np.exp(entropies(table))
    train, test = drawn_text(table, 16000, 33, rng), drawn_text(table, 1000, 33, rng)
    RNG.set_seed(1)
    model = lstm_language_model(6, 64, 6, 2)
    criterion = TimeDistributedCriterion(CrossEntropyCriterion(), True)
    for rate, steps in ((5e-3, 500), (1e-3, 200)):
        data = (train[:, :-1] + 1, train[:, 1:] + 1)
        Optimizer(model, data, criterion, MaxIteration(steps), 64, Adam(rate), is_quiet=True).optimize()
    logs = kernels.log_softmax(model.evaluate().forward(test[:, :-1] + 1), 2)
    found = np.exp(-np.take_along_axis(logs, test[:, 1:, None], axis=2)[:, 2:].mean())
    print(
        f"\nLSTM language model: perplexity {found:.3f}; bound {least:.3f}, by one word {by_one:.3f}, alone {alone:.3f}"
    )
    assert 0.99 * least < found < 1.01 * least


@pytest.mark.parametrize("encoder", ["cnn", "gru", "lstm"])
def test_a_text_classifier_reads_the_order_of_words(encoder):
    """Six classes: three words that follow one another somewhere among others, in one of their six orders. Without the
    order of the words a sixth of the answers is right."""
    rng = np.random.default_rng(12)
    vectors = rng.standard_normal((40, 50)).astype(np.float32)
    labels = rng.integers(0, 6, 6000)
    words = rng.integers(3, 40, (6000, 50))
    places = rng.integers(0, 48, 6000)[:, None] + np.arange(3)
    np.put_along_axis(words, places, np.array(list(permutations(range(3))))[labels], axis=1)
    x, target = vectors[words], labels + 1
    if encoder == "cnn":
        x = np.ascontiguousarray(x.swapaxes(1, 2))
    RNG.set_seed(2)
    model = text_classifier(6, encoder)
    data = (x[:5000], target[:5000])
    Optimizer(model, data, ClassNLLCriterion(), MaxIteration(500), 100, Adam(2e-3), is_quiet=True).optimize()
    found = (model.evaluate().forward(x[5000:]).argmax(axis=1) + 1 == target[5000:]).mean()
    print(f"\ntext classifier, {encoder}: {found:.1%} of 1000 texts right; chance 16.7 %")
    assert found > 0.97


WORDS = ("false", "true", "and", "or", "xor")
OPERATORS = {2: np.logical_and, 3: np.logical_or, 4: np.logical_xor}


def expression(rng, depth, rows, words, classes):
    """Append an expression as nodes, root first: a value, or (operator, (left, right)); gives (number of its node, its
    value)."""
    number = len(rows) + 1
    rows.append([0, 0, 0])
    classes.append(-1)

    def leaf(word):
        words.append(word + 1)
        rows.append([0, 0, len(words)])
        classes.append(-1)
        return len(rows)

    if depth == 0 or rng.random() < 0.1:
        value = bool(rng.integers(2))
        words.append(int(value) + 1)
        rows[number - 1] = [0, 0, len(words)]
    else:
        operator = int(rng.integers(2, 5))
        first = leaf(operator)
        rows.append([0, 0, 0])
        classes.append(-1)
        pair = len(rows)
        (left, a), (right, b) = (expression(rng, depth - 1, rows, words, classes) for _ in range(2))
        rows[number - 1], rows[pair - 1] = [first, pair, 0], [left, right, 0]
        value = bool(OPERATORS[operator](a, b))
    classes[number - 1] = int(value) + 1
    return number, value


def expressions(rng, count, depth):
    """[words, trees] and the classes of the nodes: 1 false, 2 true, -1 for what has no value."""
    drawn = []
    for _ in range(count):
        rows, words, classes = [], [], []
        expression(rng, depth, rows, words, classes)
        rows[0][2] = -1 if rows[0][0] else rows[0][2]
        drawn.append((rows, words, classes))
    nodes, length = (max(len(parts[k]) for parts in drawn) for k in (0, 1))
    trees = np.array([rows + [[-1] * 3] * (nodes - len(rows)) for rows, _, _ in drawn])
    words = np.array([found + [1] * (length - len(found)) for _, found, _ in drawn])
    return [words, trees], np.array([found + [-1] * (nodes - len(found)) for _, _, found in drawn])


def test_a_tree_lstm_computes_boolean_expressions():
    """Trained on expressions of up to three levels, it is right about such, and about those of up to five."""
    rng = np.random.default_rng(13)
    x, target = expressions(rng, 4000, 3)
    RNG.set_seed(3)
    model = tree_lstm_sentiment(rng.standard_normal((len(WORDS), 16)).astype(np.float32), 48, 2)
    model.modules[2].set_p(0.1)
    criterion = TimeDistributedMaskCriterion(ClassNLLCriterion(), -1)
    Optimizer(model, (x, target), criterion, MaxIteration(600), 50, Adam(5e-3), is_quiet=True).optimize()
    results = []
    for depth in (3, 5):
        given, classes = expressions(rng, 500, depth)
        (score,) = evaluate(model.evaluate(), ArraySource(given, classes, 100), [TreeNNAccuracy()])
        results.append(score.result)
        guess = max((classes[:, 0] == k).mean() for k in (1, 2))
        print(
            f"\nTree-LSTM, {depth} levels: {results[-1]:.1%} of 500 expressions right; the commoner value {guess:.1%}"
        )
    assert results[0] > 0.98
    assert results[1] > 0.9
