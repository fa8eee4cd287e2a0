"""Batches: what stands where after padding, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.activity import SparseMatrix
from dlcore.data.batch import FixedLength, PaddingLongest, PaddingParam, SampleToMiniBatch, batch_of
from dlcore.data.sample import JTensor, Sample

SENTENCES = [[1, 2], [3], [4, 5, 6]]
SAMPLES = [Sample.from_ndarray(np.array(words), np.array(words)) for words in SENTENCES]


def slowly_padded(rows, length, value):
    return [[*row, *[value] * (length - len(row))] for row in rows]


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (PaddingParam(), slowly_padded(SENTENCES, 3, 0)),
        (PaddingParam([9]), slowly_padded(SENTENCES, 3, 9)),
        (PaddingParam(None, PaddingLongest([2])), slowly_padded(SENTENCES, 5, 0)),
        (PaddingParam([9], FixedLength([4])), slowly_padded(SENTENCES, 4, 9)),
        (PaddingParam(None, FixedLength([-1])), slowly_padded(SENTENCES, 3, 0)),
    ],
)
def test_shorter_features_and_labels_are_filled_up(padding, expected):
    batch = batch_of(SAMPLES, padding, padding)
    np.testing.assert_array_equal(batch.get_input(), expected)
    np.testing.assert_array_equal(batch.get_target(), expected)


def test_an_array_fills_the_places_of_the_first_dimension():
    samples = [Sample.from_ndarray(np.ones((length, 2)), 1) for length in (1, 3)]
    batch = batch_of(samples, PaddingParam([np.array([7, 8])]))
    np.testing.assert_array_equal(batch.input[0], [[1, 1], [7, 8], [7, 8]])
    np.testing.assert_array_equal(batch.input[1], np.ones((3, 2)))


def test_pictures_of_other_sizes_are_filled_up_to_the_right_and_below():
    samples = [Sample.from_ndarray(np.full((1, *size), 5), 1) for size in ((2, 4), (3, 1))]
    batch = batch_of(samples, PaddingParam())
    assert batch.input.shape == (2, 1, 3, 4)
    np.testing.assert_array_equal(batch.input[1, 0], [[5, 0, 0, 0]] * 3)
    np.testing.assert_array_equal(batch.input[0, 0, 2], np.zeros(4))


def test_tables_and_missing_labels():
    batch = batch_of([Sample.from_ndarray([np.ones(2), np.zeros((3, 1))]) for _ in range(4)])
    assert [part.shape for part in batch.input] == [(4, 2), (4, 3, 1)]
    assert batch.target is None
    assert batch.slice(2, 3).size() == 3
    with pytest.raises(ValueError, match="got records 3 to 5, expected 1 to 4"):
        batch.slice(3, 3)


def test_slices_count_from_one():
    batch = batch_of(SAMPLES, PaddingParam(), PaddingParam()).slice(2, 2)
    np.testing.assert_array_equal(batch.input, [[3, 0, 0], [4, 5, 6]])
    np.testing.assert_array_equal(batch.target, batch.input)


def test_sparse_features_make_a_sparse_matrix():
    rows = [([2.0, 3.0], [4, 1]), ([], []), ([5.0], [0])]
    samples = [Sample.from_jtensor(JTensor.sparse(np.array(v), np.array(i, int), [6]), 1) for v, i in rows]
    batch = batch_of(samples)
    assert isinstance(batch.input, SparseMatrix)
    np.testing.assert_array_equal(batch.input.dense(), [[0, 3, 0, 0, 2, 0], [0] * 6, [5, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("samples", "padding", "message"),
    [
        ([], None, "got no samples"),
        (SAMPLES, None, r"features 1 of shapes \(1,\), \(2,\), \(3,\), expected one shape"),
        (SAMPLES, PaddingParam(None, FixedLength([2])), "got tensor 1 of length 3, expected at most 2"),
        ([SAMPLES[0], Sample.from_ndarray([np.ones(2), np.ones(2)], 1)], None, r"samples of \[1, 2\] features"),
        ([Sample.from_ndarray(np.ones(2)), SAMPLES[0]], None, r"samples of \[0, 1\] labels"),
        ([Sample.from_ndarray(np.ones(s), 1) for s in (2, (2, 2))], PaddingParam(), "expected one shape"),
        ([Sample.from_jtensor(JTensor.sparse(np.ones(1), np.zeros((2, 1)), [2, 2]))], None, "expected one shape"),
    ],
)
def test_what_does_not_fit_is_refused(samples, padding, message):
    with pytest.raises(ValueError, match=message):
        batch_of(samples, padding, padding)


def test_samples_turn_into_batches():
    batches = list(SampleToMiniBatch(2, PaddingParam(), PaddingParam())(iter(SAMPLES)))
    assert [batch.size() for batch in batches] == [2, 1]
    with pytest.raises(ValueError, match="got batch_size 0"):
        SampleToMiniBatch(0)
