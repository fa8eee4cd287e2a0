"""Tensors behave as the arrays that they are; samples keep what they are made of."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dlcore.data.sample import JTensor, Sample

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
SPARSE = np.array([[1, 0, 0, 3], [0, 0, 2, 0], [0, 4, 0, 0]], np.float32)


def dense():
    return JTensor.from_ndarray(ARRAY.copy())


def sparse():
    return JTensor.sparse(np.array([1, 3, 2, 4]), np.array([[0, 0, 1, 2], [0, 3, 2, 1]]), np.array([3, 4]))


OPERATIONS = {
    "index": lambda a: a[1],
    "slice": lambda a: a[:, 1:],
    "mask": lambda a: a[a > 0],
    "sum": lambda a: a + 1,
    "reflected": lambda a: 2 / (a + 10),
    "power": lambda a: a**2,
    "negative": lambda a: -a,
    "itself": lambda a: a * a,
    "comparison": lambda a: a == 2,
    "product": lambda a: a @ np.ones((a.shape[1], 2)),
    "ufunc": np.tanh,
    "reduction": lambda a: np.add.reduce(a, axis=0),
    "method": lambda a: a.mean(axis=0),
    "function": lambda a: np.concatenate([a, a]),
    "transposed": lambda a: a.T,
    "reshaped": lambda a: a.reshape(-1),
    "typed": lambda a: np.asarray(a, np.int64),
    "sorted": lambda a: np.array([max(row) for row in a]),
    "shape": lambda a: np.array([*a.shape, len(a), a.ndim, a.size]),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("make", "array"), [(dense, ARRAY), (sparse, SPARSE)], ids=["dense", "sparse"])
def test_what_numpy_does_with_an_array_it_does_with_a_tensor(make, array, name):
    got, expected = OPERATIONS[name](make()), OPERATIONS[name](array)
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("make", [dense, sparse])
def test_a_tensor_is_pickled_whole(make):
    tensor = pickle.loads(pickle.dumps(make()))
    np.testing.assert_array_equal(tensor, make())
    assert tensor.is_sparse == make().is_sparse
    assert repr(tensor) == repr(make())


def test_a_dense_tensor_can_be_changed_in_place():
    tensor = dense()
    tensor[0, 0] = 7
    tensor += 1
    np.testing.assert_array_equal(tensor[0], [8, 0, 1])
    assert 8 in tensor
    with pytest.raises(TypeError, match="sparse tensor"):
        sparse()[0, 0] = 1


def test_a_tensor_keeps_what_it_was_made_of():
    buffer, samples = np.zeros(2, np.float32), []
    for number in range(3):
        buffer[:] = number
        samples.append(Sample.from_ndarray(buffer, buffer))
    assert [sample.feature.tolist() for sample in samples] == [[0, 0], [1, 1], [2, 2]]
    assert [sample.label.tolist() for sample in samples] == [[0, 0], [1, 1], [2, 2]]


def test_a_tensor_may_come_as_bytes():
    dense = JTensor(ARRAY.tobytes(), np.array(ARRAY.shape, np.int32).tobytes())
    np.testing.assert_array_equal(dense, ARRAY)
    places = np.array([[0, 0, 1, 2], [0, 3, 2, 1]], np.int32)
    values, shape = np.array([1, 3, 2, 4], np.float32), np.array([3, 4], np.int32)
    np.testing.assert_array_equal(JTensor(values.tobytes(), shape.tobytes(), "float", places.tobytes()), SPARSE)


def test_a_number_is_a_tensor_of_one_element():
    tensor = JTensor.from_ndarray(np.array(5))
    assert (tensor.shape, float(tensor), int(tensor), bool(tensor), tensor[0] - 1) == ((1,), 5.0, 5, True, 4)
    assert JTensor.from_ndarray(None) is None
    with pytest.raises(ValueError):
        float(dense())


def test_numbers_keep_their_worth():
    assert JTensor([1.1], [1], "double")[0] == 1.1
    assert JTensor.from_ndarray(np.array([1.1]))[0] == np.float32(1.1)
    with pytest.raises(ValueError, match="float32 holds"):
        JTensor.from_ndarray(np.array([(1 << 24) + 1]))
    np.testing.assert_array_equal(JTensor.sparse(np.array([1, 2]), np.array([3, 3]), [5]), [0, 0, 0, 3, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JTensor([1, 2, 3], [2, 2]), "got 3 values, expected as many as shape"),
        (lambda: JTensor([1], [1], "half"), "got bigdl_type 'half'"),
        (lambda: JTensor.sparse(np.ones(2), np.ones((2, 3)), [4, 4]), "got 2 values and places"),
        (lambda: JTensor.sparse(np.ones(2), np.array([0, 4]), [4]), "expected them 0-based"),
        (lambda: JTensor.sparse(np.ones(2), np.array([-1, 0]), [4]), "expected them 0-based"),
        (lambda: Sample([], []), "got no features"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_samples_of_arrays():
    sample = Sample.from_ndarray([ARRAY, np.ones(4)], [3, np.zeros(2)])
    assert [tensor.shape for tensor in (*sample.features, *sample.labels)] == [(2, 3), (4,), (1,), (2,)]
    np.testing.assert_array_equal(sample.feature, ARRAY)
    assert sample.label[0] - 1 == 2
    assert Sample.from_ndarray([1, 2, 3], 4).feature.shape == (3,)
    assert Sample.from_ndarray(ARRAY).label is None
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sample)).features[1], np.ones(4))


def test_samples_of_tensors():
    sample = Sample.from_jtensor([sparse(), dense()], 1)
    assert [tensor.is_sparse for tensor in sample.features] == [True, False]
    assert float(sample.label) == 1
    assert Sample.from_jtensor(sparse(), dense()).label.shape == (2, 3)
