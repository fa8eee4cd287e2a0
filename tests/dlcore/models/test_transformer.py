"""The two Transformers: their shapes, their start, and a translation."""

from __future__ import annotations

import numpy as np

from dlcore.models.transformer import transformer_language_model, transformer_translator
from dlcore.rng import RNG

WORDS = np.array([[3, 1, 4, 1, 0], [5, 7, 2, 6, 7]])


def test_a_language_model_gives_the_logits_of_each_word():
    model = transformer_language_model(9, 8, 2, 16, 2)
    assert model.output_shape((None, 5)) == (None, 5, 9)
    assert model.forward(WORDS).shape == (2, 5, 9)
    assert len(model.decoder) == 2


def test_the_logits_begin_small():
    RNG.set_seed(1)
    y = transformer_translator(50, 6, 50, 64, 4, 64, 2).forward([WORDS, WORDS])
    assert y.shape == (2, 5, 50)
    assert 0.5 < y.std() < 2


def test_a_source_alone_is_translated():
    model = transformer_translator(9, 6, 9, 8, 2, 16, 1, beam_size=3).evaluate()
    words, scores = model.forward(WORDS)
    assert (words.shape, scores.shape) == ((2, 6), (2,))
    assert ((words >= 0) & (words <= 9)).all()
    for row in words:
        assert (row[np.cumsum(row == 9) - (row == 9) > 0] == 0).all(), "behind the last word there are only zeros"
