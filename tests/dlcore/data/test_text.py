"""Texts: their sentences and words, dictionaries, sequences of one length, and a language model trained on them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from dlcore.data.sample import Sample
from dlcore.data.sentence import read_localfile, sentence_tokenizer, sentences_bipadding, sentences_split
from dlcore.data.text import Dictionary, next_word_sample, pad_sequences, text_to_words
from dlcore.data.transformer import normalizer
from dlcore.nn.criterion import CrossEntropyCriterion, TimeDistributedCriterion
from dlcore.nn.layer import Linear, LookupTable, Recurrent, RnnCell, Sequential, Tanh, TimeDistributed
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.trigger import MaxEpoch
from dlcore.rng import RNG

NLTK = {
    "They don't pay $1,000 to Smith's shop, do they?": "They do n't pay $ 1,000 to Smith 's shop , do they ?",
    "Dr. Smith paid 3.50 (cash) at 10:30 -- really.": "Dr. Smith paid 3.50 ( cash ) at 10:30 -- really .",
    "The U.S. economy grew 3% in 2016...": "The U.S. economy grew 3 % in 2016 ...",
    "We've won; they'll see.": "We 've won ; they 'll see .",
    "isn't that so? no, e.g. this": "is n't that so ? no , e.g. this",
}
"""Texts and their words as NLTK 3.9's NLTKWordTokenizer gives them."""


@pytest.mark.parametrize("text", NLTK)
def test_words_are_those_of_the_treebank(text):
    assert sentence_tokenizer(text) == NLTK[text].split()


def test_no_letter_of_a_text_is_lost():
    text = "«Ça va?» naïve _x_ 9am 東京 \t100%!? 'quoted' e.g. U.S. -- 3.14.15"
    assert "".join(sentence_tokenizer(text)) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It costs 3.5 dollars. 4 were sold.", ["It costs 3.5 dollars.", "4 were sold."]),
        ("Mr. A. Smith of Acme Inc. came. no capital here", ["Mr. A. Smith of Acme Inc. came. no capital here"]),
        ("no end", ["no end"]),
        ("   ", []),
    ],
)
def test_sentences_are_split(text, expected):
    assert sentences_split(text) == expected


def test_lines_are_read(tmp_path):
    text = "first line\nzweite Zeile ä\n"
    (tmp_path / "plain").write_text(text, "utf-8")
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))
    expected = ["first line\n", "zweite Zeile ä\n"]
    assert read_localfile(tmp_path / "plain") == read_localfile(str(tmp_path / "packed")) == expected
    (tmp_path / "latin").write_bytes("ä".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_localfile(tmp_path / "latin")
    with pytest.raises(FileNotFoundError, match="put one there"):
        read_localfile(tmp_path / "nothing")
    assert sentences_bipadding("a b") == "SENTENCESTART a b SENTENCEEND"


WORDS = [["b", "a", "c"], ["a", "b"], ["a", "d"]]


def test_words_have_numbers(tmp_path):
    words = Dictionary(WORDS, 3)
    assert (words.vocabulary(), words.discard_vocab(), words.vocab_size()) == (["a", "b", "c"], ["d"], 3)
    np.testing.assert_array_equal(words.indices(["c", "d", "a", "other"]), [2, 3, 0, 3])
    assert [words.get_word(place) for place in range(4)] == ["a", "b", "c", Dictionary.UNKNOWN]
    again = Dictionary.load(words.save(tmp_path / "words.json"))
    assert (again.vocabulary(), again.discard_vocab(), again.get_index("b")) == (["a", "b", "c"], ["d"], 1)
    assert Dictionary(WORDS).vocab_size() == 4
    for place in (-1, 4):
        with pytest.raises(IndexError, match=f"got number {place}"):
            words.get_word(place)
    with pytest.raises(ValueError, match="got vocab_size 0"):
        Dictionary(WORDS, 0)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"words": 3}', '{"words": ["a", "a"], "discarded": []}', '{"words": [1], "discarded": []}'],
)
def test_a_file_that_is_no_dictionary_is_refused(tmp_path, content):
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(ValueError, match=r"words.json: got"):
        Dictionary.load(tmp_path / "words.json")
    with pytest.raises(FileNotFoundError):
        Dictionary.load(tmp_path / "nothing")


def test_sequences_become_one_length():
    np.testing.assert_array_equal(pad_sequences([[1, 2], [], [3, 4, 5]], value=9), [[1, 2, 9], [9, 9, 9], [3, 4, 5]])
    np.testing.assert_array_equal(pad_sequences([[1, 2, 3], [4]], 2), [[1, 2], [4, 0]])
    np.testing.assert_array_equal(pad_sequences([[1, 2, 3], [4]], 2, at_front=True), [[2, 3], [0, 4]])
    assert pad_sequences([]).shape == (0, 0)
    with pytest.raises(ValueError, match="got length -1"):
        pad_sequences([[1]], -1)


def test_small_letters_alone_are_words():
    assert text_to_words("R2-D2: 'Beep!' é") == ["r", "d", "beep"]


def test_features_are_normalised_both_ways():
    sample = Sample.from_ndarray([np.full(2, 5), np.full(1, 7)], 3)
    changed = normalizer(3.0, 2.0)(sample)
    assert [feature.tolist() for feature in changed.features] == [[1, 1], [2]]
    assert float(changed.label) == 3
    np.testing.assert_array_equal(normalizer([1, 3], 1, 2), [0, 1])
    np.testing.assert_array_equal(normalizer(1, 2)([1, 3]), [0, 1])


def test_a_language_model_learns_which_word_follows():
    sentences = ["the cat sat on a mat", "a dog sat on the cat"] * 4
    tokens = [sentence_tokenizer(sentences_bipadding(sentence)) for sentence in sentences]
    words = Dictionary(tokens)
    samples = [next_word_sample(words.indices(sentence), 8) for sentence in tokens]
    count = words.vocab_size()
    RNG.set_seed(1)
    model = Sequential().add(LookupTable(count, 12)).add(Recurrent().add(RnnCell(12, 24, Tanh())))
    model.add(TimeDistributed(Linear(24, count)))
    criterion = TimeDistributedCriterion(CrossEntropyCriterion(), True)
    optimizer = Optimizer(model, samples, criterion, MaxEpoch(30), 8, Adam(0.05), is_quiet=True)
    model = optimizer.optimize()
    start = words.indices(["SENTENCESTART", "the", "cat", "sat", "on"]) + 1
    follows = model.forward(start[None].astype(np.float32))[0].argmax(axis=-1)
    assert [words.get_word(int(place)) for place in follows[2:4]] == ["sat", "on"]
    with pytest.raises(ValueError, match="got 1 words"):
        next_word_sample([3])
