"""Beam search: the most likely sequences of a model that gives one word after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.activity import Array, Pullback, describe, zeros_like
from dlcore.nn.layers.table import entries
from dlcore.nn.module import Module
from dlcore.nn.shapes import blank

__all__ = ["SequenceBeamSearch"]

LOST = -1e7
"""The score of a sequence that is none; what grows from it has about as much."""

Words: TypeAlias = NDArray[np.intp]
"""1-based numbers of words."""
Next: TypeAlias = Callable[[Words, int, Array, Array, list[Array]], tuple[Array, list[Array]]]
"""(words so far (R, i + 1), i, memory (R, S, C), its bias (R, ...), kept) -> (logits (R, V) of the next word, kept);
what is kept is a list of arrays of R rows, empty at first, for what should not be computed again at the next word."""


def _best(scores: Array, count: int) -> Words:
    """(N, count): the places of the largest scores of each row, best first."""
    found = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    found.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _take(values: Any, places: Words) -> Any:
    """values (N, K, ...) at the places (N, B) of each row."""
    return values[np.arange(len(places))[:, None], places]


@dataclass
class _Beams:
    """Sequences of each sample, best first: words (N, B, L), scores (N, B), and whether they are any, (N, B)."""

    words: Words
    scores: Array
    is_found: NDArray[np.bool_]

    def best(self, count: int) -> tuple[_Beams, Words]:
        """The `count` best, and where they were."""
        places = _best(self.scores, count)
        return _Beams(_take(self.words, places), _take(self.scores, places), _take(self.is_found, places)), places

    def with_more(self, other: _Beams, padding: int) -> _Beams:
        """These, a word longer, and `other`."""
        longer = np.pad(self.words, [(0, 0), (0, 0), (0, 1)], constant_values=padding)
        return _Beams(
            np.concatenate([longer, other.words], axis=1),
            np.concatenate([self.scores, other.scores], axis=1),
            np.concatenate([self.is_found, other.is_found], axis=1),
        )


@dataclass(eq=False)
class SequenceBeamSearch(Module):
    """The beam_size most likely sequences; ends when no unfinished one can be better, or at decode_length.

    x: [memory (N, S, C), its bias (N, 1, 1, S)] -> [words (N, beam_size, decode_length + 1), scores (N, beam_size)].
    Words are numbers from 1 to vocab_size. A sequence begins with padding_value, ends with eos_id, and is filled up
    with padding_value (BigDL cuts off columns that no sequence needs). The score of a finished sequence of L words is
    the logarithm of its probability, divided by (5 + L / 6)^alpha. For a sample without finished sequences, unfinished
    ones are returned, scored by the plain logarithm. If fewer are found, the rest is padding with a score of -1e7.
    BigDL may stop when one sequence is finished, and so miss others.
    num_hidden_layers and hidden_size are accepted as in BigDL, but not used. There is no gradient: zeros go back.
    Source: BigDL's SequenceBeamSearch; Wu et al. 2016.

    Raises:
        ValueError: no function gives the logits (`set_logit_fn`), or not for vocab_size words.
    """

    vocab_size: int
    beam_size: int
    alpha: float
    decode_length: int
    eos_id: float
    padding_value: float
    num_hidden_layers: int
    hidden_size: int

    def __post_init__(self) -> None:
        self._next: Next | None = None
        if self.vocab_size < 2 or self.beam_size < 1 or self.decode_length < 1:
            raise ValueError(
                f"{self.label()}: got {self.vocab_size} words, {self.beam_size} beams, length {self.decode_length}, "
                f"expected "
                "at least 2, 1 and 1"
            )

    def set_logit_fn(self, function: Next) -> Self:
        """Let `function` give the logits of the next word; a Transformer does so itself. It is not saved."""
        self._next = function
        return self

    def apply(self, x: list[Any]) -> tuple[list[Array], Pullback]:
        if self._next is None:
            raise ValueError(
                f"{self.label()}: got no function of logits, expected one; call set_logit_fn(function) first"
            )
        if len(entries(x, self)) != 2:
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected [memory, bias]")
        return self.search(self._next, *x), lambda grad: zeros_like(x)

    def outline(self, x: list[Any]) -> list[Array]:
        count = len(x[0]), self.beam_size
        return [blank((*count, self.decode_length + 1)), blank(count)]

    def search(self, function: Next, memory: Array, bias: Array) -> list[Array]:
        """[words, scores] with logits by `function`."""
        shape = len(memory), self.beam_size
        start = np.full((*shape, 1), int(self.padding_value), np.intp)
        alive = _Beams(start, np.where(np.arange(shape[1]) == 0, 0.0, np.full(shape, LOST)), np.ones(shape, bool))
        done = _Beams(start, np.full(shape, LOST), np.zeros(shape, bool))
        kept: list[Array] = []
        memories, biases = (np.repeat(part, self.beam_size, axis=0) for part in (memory, bias))
        for i in range(self.decode_length if len(memory) else 0):
            logits, kept = function(alive.words.reshape(-1, i + 1), i, memories, biases, kept)
            grown, origins = self._grown(alive, logits)
            ended = grown.words[..., -1] == self.eos_id
            penalised = _Beams(grown.words, grown.scores + ended * LOST, grown.is_found)
            alive, places = penalised.best(self.beam_size)
            parents = np.arange(shape[0])[:, None] * self.beam_size + _take(origins, places)
            kept = [part[parents.reshape(-1)] for part in kept]
            is_done = ended & (grown.scores > LOST / 2)
            scores = np.where(is_done, grown.scores / self._length_norm(i + 1), LOST)
            done, _ = done.with_more(_Beams(grown.words, scores, is_done), int(self.padding_value)).best(self.beam_size)
            if self._is_settled(alive, done):
                break
        return self._result(alive, done, memory.dtype)

    def _grown(self, alive: _Beams, logits: Array) -> tuple[_Beams, Words]:
        """The 2 beam_size likeliest sequences that are a word longer, and which each has grown from, (N, 2 beam_size).

        Twice as many, so that beam_size of them go on even if half of them end.
        """
        if logits.shape != (alive.scores.size, self.vocab_size):
            raise ValueError(
                f"{self.label()}: got logits {logits.shape}, expected {(alive.scores.size, self.vocab_size)}"
            )
        chances = kernels.log_softmax(logits.astype(np.float64), 1).reshape(*alive.scores.shape, self.vocab_size)
        flat = (chances + alive.scores[..., None]).reshape(len(alive.scores), -1)
        places = _best(flat, 2 * self.beam_size)
        origins, words = np.divmod(places, self.vocab_size)
        longer = np.concatenate([_take(alive.words, origins), words[..., None] + 1], axis=2)
        return _Beams(longer, _take(flat, places), np.ones(places.shape, bool)), origins

    def _is_settled(self, alive: _Beams, done: _Beams) -> bool:
        """Whether all samples have beam_size finished sequences, the worst better than any unfinished one can
        become."""
        return bool((done.scores.min(axis=1) > alive.scores[:, 0] / self._length_norm(self.decode_length)).all())

    def _length_norm(self, length: int) -> float:
        return float((5.0 + length / 6.0) ** self.alpha)

    def _result(self, alive: _Beams, done: _Beams, kind: Any) -> list[Array]:
        has_ended = np.asarray(done.is_found.any(axis=1, keepdims=True))
        words = np.where(has_ended[..., None], done.words, alive.words)
        missing = self.decode_length + 1 - words.shape[2]
        words = np.pad(words, [(0, 0), (0, 0), (0, missing)], constant_values=int(self.padding_value))
        scores = np.where(has_ended, done.scores, alive.scores)
        return [words.astype(kind), scores.astype(kind)]
