"""Texts as numbers: a dictionary of words, sequences of one length, samples for a language model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dlcore.activity import Array
from dlcore.data.files import read_limited
from dlcore.data.sample import Sample


def text_to_words(text: str) -> list[str]:
    """The words of a text in small letters; everything but the letters a to z parts them.

    Source: BigDL's textclassifier.

    Example:
        >>> text_to_words("Hello, world: it's 2")
        ['hello', 'world', 'it', 's']
    """
    return re.sub(r"[^a-zA-Z]+", " ", text).lower().split()


class Dictionary:
    """The most frequent words of texts, numbered from 0, most frequent first; ties go by the alphabet.

    sentences: lists of words. vocab_size: how many words to keep; by default all. All others share the number
    vocab_size().
    Source: BigDL's Dictionary.

    Raises:
        ValueError: vocab_size below 1.

    Example:
        >>> words = Dictionary([["a", "b", "a"], ["c", "a", "b"]], 2)
        >>> words.vocab_size(), words.get_index("b"), words.get_index("c"), words.get_word(0)
        (2, 1, 2, 'a')
    """

    UNKNOWN = "<unknown>"

    def __init__(self, sentences: Iterable[Sequence[str]], vocab_size: int | None = None) -> None:
        if vocab_size is not None and vocab_size < 1:
            raise ValueError(f"Dictionary: got vocab_size {vocab_size}, expected at least 1")
        counts = Counter(word for sentence in sentences for word in sentence)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        self._words, self._discarded = ranked[:vocab_size], ranked[len(ranked[:vocab_size]) :]
        self._places = {word: place for place, word in enumerate(self._words)}

    def vocab_size(self) -> int:
        """The number of words kept."""
        return len(self._words)

    def vocabulary(self) -> list[str]:
        """The words kept, by their numbers."""
        return list(self._words)

    def discard_vocab(self) -> list[str]:
        """The words that were not kept."""
        return list(self._discarded)

    def get_index(self, word: str) -> int:
        """The number of a word; vocab_size() for one that is not kept."""
        return self._places.get(word, len(self._words))

    def get_word(self, index: int) -> str:
        """The word of a number; "<unknown>" for vocab_size().

        Raises:
            IndexError: no word has this number.
        """
        if not 0 <= index <= len(self._words):
            raise IndexError(f"Dictionary: got number {index}, expected 0 to {len(self._words)}")
        return self._words[index] if index < len(self._words) else self.UNKNOWN

    def indices(self, words: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """(N,) the numbers of words."""
        return np.array([self.get_index(word) for word in words], np.int64)

    def save(self, path: str | Path) -> Path:
        """Write the words to a file of JSON."""
        target = Path(path)
        target.write_text(json.dumps({"words": self._words, "discarded": self._discarded}), "utf-8")
        return target

    @classmethod
    def load(cls, path: str | Path) -> Dictionary:
        """A dictionary from the file that `save` wrote.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file is not such a file.
        """
        try:
            kept = json.loads(read_limited(Path(path)))
            words, discarded = list(kept["words"]), list(kept["discarded"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}: got a file that is no dictionary ({error}), expected one that save wrote"
            ) from error
        if len({*words}) != len(words) or not all(isinstance(word, str) for word in [*words, *discarded]):
            raise ValueError(f"{path}: got words twice, or no texts, expected a dictionary that save wrote")
        found = cls([])
        found._words, found._discarded = words, discarded
        found._places = {word: place for place, word in enumerate(words)}
        return found


def pad_sequences(
    sequences: Sequence[Sequence[float]], length: int | None = None, value: float = 0.0, at_front: bool = False
) -> Array:
    """(N, length) the sequences cut off or filled up with `value`, at the end, or at the front, where the last elements
    are kept.

    By default, the length is that of the longest.

    Raises:
        ValueError: a length below 0.

    Example:
        >>> pad_sequences([[1, 2, 3], [4]], 2), pad_sequences([[1, 2, 3], [4]], 2, at_front=True).tolist()
        (array([[1., 2.],
               [4., 0.]], dtype=float32), [[2.0, 3.0], [0.0, 4.0]])
    """
    size = max((len(sequence) for sequence in sequences), default=0) if length is None else length
    if size < 0:
        raise ValueError(f"pad_sequences: got length {size}, expected at least 0")
    found = np.full((len(sequences), size), value, np.float32)
    for row, sequence in zip(found, sequences, strict=True):
        kept = np.asarray(sequence[max(len(sequence) - size, 0) :] if at_front else sequence[:size], np.float32)
        row[size - len(kept) if at_front else 0 :][: len(kept)] = kept
    return found


def next_word_sample(indices: Sequence[int], length: int | None = None) -> Sample:
    """The Sample from which a language model learns: features are all words but the last, labels the words that follow
    them, as 1-based numbers of the 0-based ones given. With `length` both are cut off or filled up to it with their
    last element.

    Source: BigDL's TextToLabeledSentence and LabeledSentenceToSample.

    Raises:
        ValueError: fewer than two words.

    Example:
        >>> sample = next_word_sample([4, 0, 2], 3)
        >>> sample.feature.tolist(), sample.label.tolist()
        ([5.0, 1.0, 1.0], [1.0, 3.0, 3.0])
    """
    words = np.asarray(indices, np.int64) + 1
    if words.size < 2:
        raise ValueError(f"next_word_sample: got {words.size} words, expected at least two")
    parts = words[:-1], words[1:]
    if length is not None:
        places = np.minimum(np.arange(length), words.size - 2)
        parts = parts[0][places], parts[1][places]
    return Sample.from_ndarray(*parts)
