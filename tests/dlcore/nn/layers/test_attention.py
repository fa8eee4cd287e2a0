"""Layers of the family attention: a row per layer and variant, against loops over samples, heads and places."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from dlcore.nn.layer import Attention, FeedForwardNetwork, MultiHeadAttention
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

x, memory = normal(2, 5, 6), normal(2, 4, 6, seed=6)
seen = np.array([[1, 1, 0, 1], [1, 0, 0, 1]])
hidden = np.where(seen, 0, -1e9).astype(np.float32)[:, None, None]


def linear(layer, row):
    return layer.weight.value @ row + (0 if layer.bias is None else layer.bias.value)


def slow(module, x, y, bias):
    """bias: (N, T, S)."""
    heads, width = module.num_heads, module.hidden_size // module.num_heads
    result = np.zeros(x.shape)
    for n in range(len(x)):
        keys, values = (np.array([linear(layer, row) for row in y[n]]) for layer in (module.key, module.value))
        for t in range(x.shape[1]):
            query = linear(module.query, x[n, t])
            taken = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                weights = special.softmax(keys[:, part] @ query[part] / np.sqrt(width) + bias[n, t])
                taken.append(weights @ values[:, part])
            result[n, t] = linear(module.output_transform, np.concatenate(taken))
    return result


def slow_attention(module, x):
    return slow(module, x[0], x[1], np.broadcast_to(x[2][:, 0], (2, 5, x[1].shape[1])))


def slow_causal(module, x):
    return slow(module, x, x, np.triu(np.full((2, 5, 5), -np.inf), 1))


def slow_masked(module, x):
    mask = np.broadcast_to(x[2].reshape(2, -1, 4), (2, 5, 4))
    return slow(module, x[0], x[1], np.where(mask == 0, -np.inf, 0))


def slow_feed_forward(module, x):
    return np.array(
        [[linear(module.output_layer, np.maximum(linear(module.filter_layer, p), 0)) for p in n] for n in x]
    )


CASES = {
    "Attention": LayerCase(lambda: Attention(6, 2, 1.0), [x, memory, hidden], slow_attention),
    "Attention-scores": LayerCase(lambda: Attention(6, 3, 1.0), [x, x[::-1], normal(2, 1, 5, 5)], slow_attention),
    "Attention-dropout": LayerCase(lambda: Attention(6, 2, 0.6), [x, memory, hidden]),
    "MultiHeadAttention": LayerCase(
        lambda: MultiHeadAttention(6, 3), x, lambda m, x: slow(m, x, x, np.zeros((2, 5, 5)))
    ),
    "MultiHeadAttention-causal": LayerCase(lambda: MultiHeadAttention(6, 2, is_causal=True), x, slow_causal),
    "MultiHeadAttention-memory": LayerCase(
        lambda: MultiHeadAttention(6, 2, 0.3, with_bias=False), [x, memory], is_differentiable=True
    ),
    "MultiHeadAttention-mask": LayerCase(
        lambda: MultiHeadAttention(6, 2), [x, memory, seen], slow_masked, is_differentiable=False
    ),
    "MultiHeadAttention-masks": LayerCase(
        lambda: MultiHeadAttention(6, 2),
        [x, memory, np.stack([seen[::-1]] * 5, 1)],
        slow_masked,
        is_differentiable=False,
    ),
    "FeedForwardNetwork": LayerCase(lambda: FeedForwardNetwork(6, 8, 1.0), x, slow_feed_forward),
    "FeedForwardNetwork-dropout": LayerCase(lambda: FeedForwardNetwork(6, 8, 0.7), x),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_dropout_keeps_the_share_that_bigdl_keeps():
    assert Attention(6, 2, 0.9).drop.init_p == pytest.approx(0.1)
    assert FeedForwardNetwork(6, 8, 0.9).drop.init_p == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (lambda: Attention(6, 2, 0.0), None, "got attention_dropout 0.0, expected the share that is kept, above 0"),
        (lambda: FeedForwardNetwork(6, 8, 1.1), None, "got relu_dropout 1.1, expected the share that is kept"),
        (lambda: Attention(6, 4, 1.0), None, "got hidden_size 6 and 4 heads, expected a multiple"),
        (lambda: Attention(6, 2, 1.0), [x, memory], r"expected \[\(N, T, C\), \(N, S, C\), bias\]"),
        (lambda: Attention(6, 2, 1.0), [x, memory[:, 0], hidden], r"got input \(2, 6\), expected \(N, T, 6\)"),
        (lambda: MultiHeadAttention(4, 2), x, r"got input \(2, 5, 6\), expected \(N, T, 4\)"),
        (lambda: MultiHeadAttention(6, 0), None, "and 0 heads, expected a multiple"),
        (lambda: Attention(6, 2, 1.0), [x, memory, np.zeros((3, 3))], r"scores that broadcast to \(2, 2, 5, "),
        (lambda: MultiHeadAttention(6, 2), [x, memory[:1]], "expected one N"),
        (lambda: MultiHeadAttention(6, 2), [x, memory, np.ones((2, 99))], r"a mask is \(N, S\) or \(N, T, S\)"),
        (lambda: MultiHeadAttention(6, 2), [x], r"expected \(N, T, C\), \[x, memory\] or \[x, memory, mask\]"),
    ],
)
def test_what_does_not_fit_is_refused(make, given, message):
    with pytest.raises(ValueError, match=message):
        make().forward(given)
