"""DataSets: their records, and training on them, which is what training on the same arrays is."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.activity import SparseMatrix, leaves
from dlcore.data.batch import PaddingParam, SampleToMiniBatch, batch_of
from dlcore.data.dataset import DataSet
from dlcore.data.sample import JTensor, Sample
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion
from dlcore.nn.layer import Linear, LogSoftMax, LookupTable, Mean, Sequential, SparseLinear
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.metric import Top1Accuracy
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, MaxIteration
from dlcore.rng import RNG

ROWS = np.random.default_rng(1)
X = ROWS.standard_normal((50, 4)).astype(np.float32)
Y = np.where(X[:, :1] + X[:, 1:2] > 0, 1.0, 2.0)


def samples():
    return [Sample.from_ndarray(x, y) for x, y in zip(X, Y, strict=True)]


def trained(data, workers=1, end=None, model=None, criterion=None, resumed=None, checkpoint=None):
    RNG.set_seed(3)
    model = model or Sequential().add(Linear(4, 8)).add(Linear(8, 2)).add(LogSoftMax())
    optimizer = Optimizer(
        model, data, criterion or ClassNLLCriterion(), end or MaxEpoch(3), 8, Adam(0.01), workers=workers, is_quiet=True
    )
    optimizer.set_validation(8, data, EveryEpoch(), [Top1Accuracy()])
    if checkpoint:
        optimizer.set_checkpoint(MaxIteration(5), checkpoint)
    if resumed:
        optimizer.resume(resumed)
    return optimizer.optimize(), optimizer.state


@pytest.mark.parametrize("make", [samples, lambda: DataSet.array(samples()), lambda: DataSet.array(X, Y)])
@pytest.mark.parametrize("workers", [1, 2])
def test_training_on_samples_is_training_on_their_arrays(make, workers):
    expected, state = trained((X, Y), workers)
    got, got_state = trained(make(), workers)
    assert got_state.history == state.history
    for a, b in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def noisy(sample):
    return Sample.from_ndarray(sample.feature + RNG.normal(0, 0.1, 4), sample.labels)


def test_what_is_random_depends_on_seed_epoch_and_place_alone(tmp_path):
    data = DataSet.array(samples()).transform(noisy)
    first, _ = trained(data, checkpoint=tmp_path, end=MaxIteration(12))
    again, _ = trained(data, resumed=tmp_path / "checkpoint.npz", end=MaxIteration(12))
    plain, _ = trained(DataSet.array(samples()), end=MaxIteration(12))
    for a, b, other in zip(first.get_weights(), again.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, other)
    batches = [data.batch([3, 4], [10, 11]).input for _ in range(2)]
    np.testing.assert_array_equal(*batches)
    assert not np.array_equal(batches[0], data.batch([3, 4], [11, 10]).input)


def test_the_generator_goes_on_where_it_stood():
    RNG.set_seed(5)
    expected = RNG.uniform(0, 1, 4)
    RNG.set_seed(5)
    first = RNG.uniform(0, 1, 2)
    DataSet.array(samples()).transform(noisy).batch([0, 1], [1, 2])
    np.testing.assert_array_equal([*first, *RNG.uniform(0, 1, 2)], expected)


def test_sentences_of_several_lengths_are_trained_on_with_padding():
    words = [Sample.from_ndarray(np.arange(1, 1 + length), 1 + (length > 3)) for length in (2, 3, 4, 5)]
    model = Sequential().add(LookupTable(6, 5)).add(Mean(2)).add(Linear(5, 2)).add(LogSoftMax())
    data = DataSet.array(words, feature_padding=PaddingParam([6]))
    model, _ = trained(data, model=model, end=MaxEpoch(60))
    outputs = [model.forward(batch.input).argmax(axis=1) + 1 for batch in data.batches(3)]
    np.testing.assert_array_equal(np.concatenate(outputs), [1, 1, 2, 2])


def test_sparse_samples_are_trained_on():
    places = [[0, 2], [1, 2], [0, 3], [1, 3]]
    data = [Sample.from_jtensor(JTensor.sparse(np.ones(2), np.array(each), [4]), each[0] + 1) for each in places]
    model = Sequential().add(SparseLinear(4, 2)).add(LogSoftMax())
    _, state = trained(data, model=model, end=MaxEpoch(80))
    assert state.score == 1


def test_a_sparse_matrix_makes_samples_of_its_rows():
    matrix = SparseMatrix.of([0, 0, 2, 3], [4, 1, 0, 2], [1, 2, 3, 4], (4, 5))
    data = DataSet.array([matrix, np.eye(4)], np.arange(4))
    assert data[0].features[0].is_sparse
    np.testing.assert_array_equal([sample.features[0] for sample in data], matrix.dense())
    batch = data.batch([3, 1, 0])
    np.testing.assert_array_equal(batch.input[0].dense(), matrix.dense()[[3, 1, 0]])
    np.testing.assert_array_equal(batch.input[1], np.eye(4)[[3, 1, 0]])


@pytest.mark.parametrize("labels", [None, Y[:, 0], Y, [Y, np.arange(50)]])
def test_batches_of_arrays_are_those_of_their_samples(labels):
    data = DataSet.array([X, np.arange(50, dtype=np.uint8)], labels).shuffle()
    expected, got = batch_of([data[place] for place in (4, 0, 9)]), data.batch([4, 0, 9])
    for a, b in ((got.input, expected.input), (got.target, expected.target)):
        assert (a is None) == (b is None)
        for leaf, other in zip(leaves(a), leaves(b), strict=True) if a is not None else ():
            assert leaf.dtype == other.dtype == np.float32
            np.testing.assert_array_equal(leaf, other)


def test_padding_may_come_with_what_makes_batches():
    words = [Sample.from_ndarray(np.ones(length), 1) for length in (2, 4)]
    data = DataSet.array(words).transform(SampleToMiniBatch(2, PaddingParam([7])))
    np.testing.assert_array_equal(data.batch([0, 1]).input, [[1, 1, 7, 7], [1, 1, 1, 1]])


def test_more_workers_than_records_in_a_batch():
    data = [Sample.from_ndarray(X[row], X[row, :1]) for row in range(9)]
    RNG.set_seed(1)
    optimizer = Optimizer(Linear(4, 1), data, MSECriterion(), MaxEpoch(1), 8, workers=2, is_quiet=True)
    assert np.isfinite(optimizer.optimize().get_weights()[0]).all()
    assert optimizer.state.records == 9


def test_records_are_transformed_when_asked_for_and_shuffled():
    asked = []
    data = DataSet.array(X, Y).transform(lambda sample: asked.append(1) or sample)
    assert (data.size(), len(asked)) == (50, 0)
    np.testing.assert_array_equal([sample.feature for sample in data], X)
    assert len(asked) == 50
    RNG.set_seed(1)
    shuffled = [sample.feature.tolist() for sample in data.shuffle()]
    assert shuffled != X.tolist()
    assert sorted(shuffled) == sorted(X.tolist())
    endless = data.data(train=True)
    assert sorted(next(endless).feature.tolist() for _ in range(50)) == sorted(shuffled)
    assert next(endless).feature.shape == (4,)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: DataSet.array([]), ValueError, "got no records"),
        (lambda: DataSet.array(X, Y[:3]), ValueError, r"lengths \[3, 50\]"),
        (lambda: DataSet.array(X, Y).transform(3), TypeError, "got int, expected a transformer"),
        (lambda: DataSet.array(X).transform(lambda sample: 1).batch([0]), TypeError, "record of type int"),
        (lambda: trained([Sample.from_ndarray(x) for x in X]), ValueError, "samples without labels"),
        (lambda: trained(3), TypeError, "data of type int, expected a pair"),
    ],
)
def test_what_is_no_data_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_validation_set_has_an_end():
    optimizer = Optimizer(Linear(4, 1), (X, Y), MSECriterion())
    with pytest.raises(TypeError, match="expected one that has an end"):
        optimizer.set_validation(8, lambda request: (X, Y), EveryEpoch(), [Top1Accuracy()])
