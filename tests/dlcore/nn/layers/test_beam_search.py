"""Layers of the family beam search, against a search by loops over lists, all sequences, and a result recorded from
BigDL."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

from dlcore.nn.layer import SequenceBeamSearch
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

memory, bias = normal(3, 2, 5), np.zeros((3, 1, 1, 2), np.float32)
TABLE = normal(6, 5, seed=9)


def chain(words, i, memory, bias, kept):
    """Logits by the last word and the memory, once by what is kept, which has to follow its beam."""
    sums = kept[0] if kept else np.zeros(len(words), np.float32)
    return TABLE[words[:, -1]] + memory[:, 0] + 0.1 * sums[:, None] * np.arange(5), [sums + words[:, -1]]


class Chain(SequenceBeamSearch):
    """A search with its function, which a loaded copy has too."""

    def __post_init__(self):
        super().__post_init__()
        self.set_logit_fn(chain)


def slow(module, x):
    results = [slow_sample(module, each[0]) for each in x[0]]
    return [np.array([words for words, _ in results]), np.array([scores for _, scores in results])]


def chances(words, memory):
    sums = sum(words[:-1])
    return special.log_softmax((TABLE[words[-1]] + memory + 0.1 * sums * np.arange(5)).astype(np.float64))


def norm(module, length):
    return (5 + length / 6) ** module.alpha


def slow_sample(module, memory):
    alive, done = [(0.0, [0])], []
    for length in range(1, module.decode_length + 1):
        grown = [(a + c, [*w, k + 1]) for a, w in alive for k, c in enumerate(chances(w, memory))]
        grown = sorted(grown, key=lambda pair: -pair[0])[: 2 * module.beam_size]
        done += [(a / norm(module, length), w) for a, w in grown if w[-1] == module.eos_id]
        done = sorted(done, key=lambda pair: -pair[0])[: module.beam_size]
        alive = [(a, w) for a, w in grown if w[-1] != module.eos_id][: module.beam_size]
    found, size = done or alive, module.decode_length + 1
    found += [(-1e7, [0])] * (module.beam_size - len(found))
    return [w + [0] * (size - len(w)) for _, w in found], [score for score, _ in found]


CASES = {
    "SequenceBeamSearch": LayerCase(
        lambda: Chain(5, 3, 0.6, 6, 2.0, 0.0, 1, 5), [memory, bias], slow, is_differentiable=False
    ),
    "SequenceBeamSearch-few": LayerCase(
        lambda: Chain(5, 6, 0.6, 2, 2.0, 0.0, 1, 5), [memory, bias], slow, is_differentiable=False
    ),
    "SequenceBeamSearch-unfinished": LayerCase(
        lambda: Chain(5, 2, 1.0, 3, 9.0, 0.0, 1, 5), [memory, bias], slow, is_differentiable=False
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_the_slow_search(name):
    """Each to its own size: beside -1e7 the harness sees no difference."""
    search = CASES[name].make()
    np.testing.assert_allclose(search.forward([memory, bias])[1], slow(search, [memory, bias])[1], rtol=1e-6)


def test_wide_beams_find_the_best_of_all_sequences():
    search = Chain(5, 150, 0.8, 4, 2.0, 0.0, 1, 5)
    words, scores = search.forward([memory, bias])
    for sample in range(3):
        best = -np.inf, ()
        for length in range(1, 5):
            for start in itertools.product([1, 3, 4, 5], repeat=length - 1):
                sequence = [0, *start, 2]
                parts = [chances(sequence[: k + 1], memory[sample, 0])[sequence[k + 1] - 1] for k in range(length)]
                best = max(best, (sum(parts) / norm(search, length), tuple(sequence)))
        assert scores[sample, 0] == pytest.approx(best[0], abs=1e-5)
        np.testing.assert_array_equal(words[sample, 0], [*best[1], *[0] * (5 - len(best[1]))])


def test_what_bigdl_gives():
    """Recorded in BigDL's own test, whose logits depend on the beam alone."""
    logits = np.array([
        [0.14, 0.62, 0.02, 0.93], [0.59, 0.48, 0.27, 0.70], [0.11, 0.30, 0.35, 0.15],
        [0.67, 0.39, 0.33, 0.01], [0.44, 0.52, 0.45, 0.23], [0.75, 0.79, 0.26, 0.47],
    ])  # fmt: skip
    search = SequenceBeamSearch(4, 3, 0.0, 10, 2.0, 1.0, 2, 5).set_logit_fn(lambda *given: (logits, []))
    words, scores = search.forward([normal(2, 6, 5), normal(2, 1, 1, 6)])
    expected = [[[1, 2, 1, 1], [1, 4, 2, 1], [1, 4, 4, 2]], [[1, 2, 1, 1], [1, 1, 2, 1], [1, 3, 2, 1]]]
    np.testing.assert_array_equal(words[..., :4], expected)
    assert (words[..., 4:] == 1).all()
    np.testing.assert_allclose(
        scores, [[-1.2615868, -2.2131736, -3.1647604], [-1.3734006, -2.4668012, -2.715382]], rtol=1e-6
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"call set_logit_fn\(function\) first"):
        SequenceBeamSearch(5, 2, 1.0, 3, 2.0, 0.0, 1, 5).forward([memory, bias])
    with pytest.raises(ValueError, match=r"got logits \(6, 5\), expected \(6, 4\)"):
        Chain(4, 2, 1.0, 3, 2.0, 0.0, 1, 5).forward([memory, bias])
    with pytest.raises(ValueError, match="expected at least 2, 1 and 1"):
        SequenceBeamSearch(5, 0, 1.0, 3, 2.0, 0.0, 1, 5)
