"""Layers of the family transformer: rows with loops over samples and places, gradients of whole models, and decoding
step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.nn.layer import SequenceBeamSearch, Transformer, TransformerLayer
from dlcore.nn.weights import cast
from dlcore.rng import RNG
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal
from tests.dlcore.nn.layers.test_attention import hidden, memory, slow, slow_feed_forward, x

words, source = np.array([[3, 1, 4, 1], [5, 7, 2, 6]]), np.array([[2, 7, 1, 0, 0], [6, 5, 3, 4, 1]])
causal = np.broadcast_to(np.triu(np.full((5, 5), -1e9, np.float32), 1), (2, 1, 5, 5))
SIZES = (7, 6, 2, 8, 2, 1.0, 1.0, 1.0)


def normalised(norm, x):
    scale = np.sqrt(((x - x.mean(-1, keepdims=True)) ** 2).mean(-1, keepdims=True) + 1e-6)
    return (x - x.mean(-1, keepdims=True)) / scale * norm.weight.value + norm.bias.value


def slow_layer(module, x):
    y, bias, *others = x
    unit = normalised(module.norms[0], y)
    y = y + slow(module.self_attention, unit, unit, np.broadcast_to(bias[:, 0], (len(y), y.shape[1], y.shape[1])))
    if others:
        seen = np.broadcast_to(others[1][:, 0], (len(y), y.shape[1], others[0].shape[1]))
        y = y + slow(module.encdec_attention, normalised(module.norms[1], y), others[0], seen)
    return y + slow_feed_forward(module.ffn, normalised(module.norms[-1], y))


def slow_places(length, channels):
    rates = [10000 ** (-i / max(channels // 2 - 1, 1)) for i in range(channels // 2)]
    return np.array([[f(t * rate) for f in (np.sin, np.cos) for rate in rates] for t in range(length)])


def slow_vectors(module, words):
    rows = np.concatenate([np.zeros((1, module.hidden_size)), module.embedding.weight.value])
    return rows[words] * np.sqrt(module.hidden_size)


def slow_decoder(module, words, *others):
    vectors = slow_vectors(module, words)
    y = np.concatenate([np.zeros((len(words), 1, module.hidden_size)), vectors[:, :-1]], 1)
    y = y + slow_places(words.shape[1], module.hidden_size)
    bias = np.triu(np.full((1, 1, words.shape[1], words.shape[1]), -1e9), 1)
    for layer in module.decoder:
        y = slow_layer(layer, [y, bias, *others])
    return normalised(module.decoder_norm, y)


def slow_translation(module, x):
    source, target = x
    bias = np.where(source == 0, -1e9, 0)[:, None, None]
    y = slow_vectors(module, source) + slow_places(source.shape[1], module.hidden_size)
    for layer in module.encoder:
        y = slow_layer(layer, [y, bias])
    return slow_decoder(module, target, normalised(module.encoder_norm, y), bias) @ module.embedding.weight.value.T


def translator(beams=3, length=4, kept=1.0):
    search = SequenceBeamSearch(7, beams, 0.6, length, 7.0, 0.0, 2, 6)
    sizes = (*SIZES[:5], kept, kept, kept)
    return Transformer(*sizes, with_share_weights_linear=True, transformer_type="Translation", beam_search=search)


def slow_search(module, x):
    """Each beam of the search is kept for itself, its logits computed from all its words anew."""

    def logits(words, i, memory, bias, kept):
        y = slow_decoder(module, np.pad(words[:, 1:], [(0, 0), (0, 1)]), memory, bias)[:, -1]
        return y @ module.embedding.weight.value.T, []

    bias = np.where(x == 0, -1e9, 0).astype(np.float32)[:, None, None]
    y = slow_vectors(module, x) + slow_places(x.shape[1], module.hidden_size)
    for layer in module.encoder:
        y = slow_layer(layer, [y, bias])
    words, scores = module.beam_search.search(logits, normalised(module.encoder_norm, y), bias)
    return [words[:, 0, 1:], scores[:, 0]]


CASES = {
    "TransformerLayer": LayerCase(lambda: TransformerLayer(6, 2, 8, 1.0, 1.0, 1.0), [x, causal], slow_layer),
    "TransformerLayer-decoder": LayerCase(
        lambda: TransformerLayer(6, 2, 8, 1.0, 1.0, 1.0, is_decoder=True), [x, causal, memory, hidden], slow_layer
    ),
    "TransformerLayer-dropout": LayerCase(lambda: TransformerLayer(6, 2, 8, 0.8, 0.7, 0.9), [x, causal]),
    "Transformer": LayerCase(lambda: Transformer(*SIZES), words, slow_decoder, is_differentiable=False),
    "Transformer-translation": LayerCase(translator, [source, words], slow_translation, is_differentiable=False),
    "Transformer-dropout": LayerCase(lambda: translator(kept=0.7), [source, words], is_differentiable=False),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize("given", [words, [source, words]], ids=["language model", "translation"])
def test_gradients_agree_with_differences(given):
    kind = "Translation" if isinstance(given, list) else "LanguageModel"
    model = Transformer(*SIZES, with_share_weights_linear=True, transformer_type=kind)
    cast(model, np.float64)
    grad = normal(2, 4, 7).astype(np.float64)
    model.forward(given)
    model.backward(given, grad)
    draws = np.random.default_rng(2)
    for name, parameter in model.named_parameters().items():
        direction, kept = draws.standard_normal(parameter.value.shape), parameter.value.copy()
        ends = []
        for sign in (1, -1):
            parameter.value = kept + sign * 1e-6 * direction
            ends.append((model.forward(given) * grad).sum())
        parameter.value = kept
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx((parameter.grad * direction).sum(), rel=1e-5, abs=1e-6), name


def test_a_translation_is_that_of_bigdl():
    given = np.load(Path(__file__).parents[3] / "golden/bigdl/translation.npz")
    model = Transformer(16, 4, 1, 8, 1, 1.0, 1.0, 1.0, with_share_weights_linear=True, transformer_type="Translation")
    encoder, decoder = model.encoder[0], model.decoder[0]
    layers = {"encoder": encoder.self_attention, "decoder": decoder.self_attention, "encdec": decoder.encdec_attention}
    for name, attention in layers.items():
        for part in ("query", "key", "value", "output_transform"):
            getattr(attention, part).weight.assign(given[f"{name}_{part}"])
    for name, network in (("encoder", encoder.ffn), ("decoder", decoder.ffn)):
        network.filter_layer.weight.assign(given[f"{name}_filter"])
        network.output_layer.weight.assign(given[f"{name}_output"])
    model.embedding.weight.assign(given["embedding"])
    np.testing.assert_allclose(model.forward([given["source"], given["target"]]), given["logits"], atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translation_is_searched_by_keys_and_values_kept(beams):
    RNG.set_seed(3)
    model = translator(beams).evaluate()
    for got, expected in zip(model.forward(source), slow_search(model, source), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert model.output_shape((None, 5)) == [(None, 4), (None,)]


def test_the_word_that_fills_up_has_no_vector_and_learns_none():
    model = Transformer(*SIZES, padding_value=5.0, with_share_weights_linear=True)
    assert not model.embedding.weight.value[4].any()
    y = model.forward(words)
    model.backward(words, np.ones_like(y))
    assert not model.embedding.weight.grad[4].any()
    np.testing.assert_allclose(y, model.forward(np.where(words == 5, 0, words)), atol=1e-6)


def test_the_future_and_padding_are_not_seen():
    model = translator().evaluate()
    y = model.forward([source, words])
    later, wider = words.copy(), np.pad(source, [(0, 0), (0, 3)])
    later[:, 2:] = 7
    np.testing.assert_allclose(model.forward([source, later])[:, :3], y[:, :3], atol=1e-5)
    np.testing.assert_allclose(model.forward([wider, words]), y, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (lambda: Transformer(*SIZES, transformer_type="Speech"), None, "expected 'LanguageModel' or 'Translation'"),
        (lambda: Transformer(*SIZES, beam_search=translator().beam_search), None, "got a beam_search, expected"),
        (lambda: Transformer(*SIZES), [source, words], r"got input \[.*\], expected words \(N, T\)"),
        (translator, [words], r"expected \[source, target\]"),
        (translator, source, "got words to translate in training mode"),
        (lambda: Transformer(*SIZES, transformer_type="Translation"), source, "build it with a beam_search"),
        (lambda: TransformerLayer(6, 2, 8, 1.0, 1.0, 1.0), [x], r"expected \[x, bias\]"),
    ],
)
def test_what_does_not_fit_is_refused(make, given, message):
    with pytest.raises(ValueError, match=message):
        make().forward(given)
