"""Sparse matrices as leaves of activities, against scipy's."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from dlcore.activity import SparseMatrix, add, as_activity, describe, leaves, map_leaves, zeros_like
from dlcore.inference import compile
from dlcore.nn.criterion import MSECriterion
from dlcore.nn.init import Zeros
from dlcore.nn.layer import Linear, ParallelTable, SelectTable, Sequential
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.source import ArraySource, BatchRequest
from dlcore.optim.trigger import MaxIteration

RNG = np.random.default_rng(3)
ROWS, COLUMNS, VALUES = RNG.integers(0, 9, 40), RNG.integers(0, 30, 40), RNG.standard_normal(40).astype(np.float32)
MATRIX = SparseMatrix.of(ROWS, COLUMNS, VALUES, (9, 30))
THEIRS = scipy.sparse.coo_matrix((VALUES, (ROWS, COLUMNS)), (9, 30)).tocsr()


def same(ours: SparseMatrix, theirs: Any) -> None:
    assert ours.shape == theirs.shape
    assert (ours.values.dtype, len(ours), ours.ndim) == (np.float32, theirs.shape[0], 2)
    np.testing.assert_allclose(ours.dense(), theirs.toarray(), atol=1e-6)


def test_places_in_any_order_make_a_matrix() -> None:
    same(MATRIX, THEIRS)
    same(
        SparseMatrix.of(ROWS, COLUMNS, None, (9, 30)), scipy.sparse.coo_matrix((np.ones(40), (ROWS, COLUMNS)), (9, 30))
    )
    same(SparseMatrix.of([], [], [], (3, 4)), scipy.sparse.csr_matrix((3, 4)))
    np.testing.assert_array_equal(np.sort(MATRIX.rows()), np.sort(ROWS))


@pytest.mark.parametrize(
    "rows",
    [slice(2, 7), slice(None, None, -2), slice(4, 4), np.array([8, 0, 0, 3]), np.array([], int), np.arange(9) % 2 == 0],
    ids=str,
)
def test_rows(rows: Any) -> None:
    same(MATRIX[rows], THEIRS[rows])


def test_matrices_below_and_beside_one_another() -> None:
    below, beside = SparseMatrix.concatenate([MATRIX, MATRIX[:2]]), SparseMatrix.concatenate([MATRIX, MATRIX], axis=1)
    same(below, scipy.sparse.vstack([THEIRS, THEIRS[:2]]))
    same(beside, scipy.sparse.hstack([THEIRS, THEIRS]))
    same(SparseMatrix.concatenate([MATRIX[:0], MATRIX[3:3]]), THEIRS[:0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SparseMatrix.of([0, 3], [0, 0], None, (3, 4)), "got rows 0 to 3, expected 0 to 2"),
        (lambda: SparseMatrix.of([0, 1], [0, -1], None, (3, 4)), "got columns -1 to 0, expected 0 to 3"),
        (lambda: SparseMatrix.of([0, 1], [0], None, (3, 4)), r"got \(2,\) rows, \(1,\) columns"),
        (lambda: SparseMatrix(VALUES, COLUMNS, np.array([0, 39]), 30), "expected as many columns as values"),
        (lambda: SparseMatrix(VALUES, COLUMNS, np.array([0, 30, 20, 40]), 30), "expected them to rise"),
        (lambda: SparseMatrix.concatenate([MATRIX, MATRIX[1:]], axis=1), "expected equal sizes along axis 0"),
        (lambda: SparseMatrix.concatenate([]), "expected equal sizes"),
        (lambda: add(MATRIX, MATRIX), "the gradient of a sparse input is an array"),
    ],
)
def test_what_does_not_fit_is_an_error(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_single_rows_and_elements_are_refused() -> None:
    with pytest.raises(IndexError, match="expected a slice or an array of rows"):
        MATRIX[3]  # type: ignore[index]
    with pytest.raises(IndexError):
        MATRIX[np.array([9])]


def test_a_sparse_matrix_is_a_leaf() -> None:
    x = as_activity((MATRIX, [np.ones((9, 2)), MATRIX]))
    assert describe(x) == "[sparse (9, 30), [(9, 2), sparse (9, 30)]]"
    assert [type(leaf) for leaf in leaves(x)] == [SparseMatrix, np.ndarray, SparseMatrix]
    assert describe(map_leaves(lambda leaf: leaf[:4], x)) == "[sparse (4, 30), [(4, 2), sparse (4, 30)]]"
    zeros = zeros_like(x)
    assert describe(zeros) == "[(9, 30), [(9, 2), (9, 30)]]"
    same(pickle.loads(pickle.dumps(MATRIX)), THEIRS)


def test_batches_are_rows_of_sparse_matrices() -> None:
    source = ArraySource([MATRIX, np.arange(9)], np.arange(9), batch_size=4)
    (sparse, numbers), target = source(BatchRequest(1, 0, 1, 0, 4))
    same(sparse, THEIRS[numbers.astype(int)])
    assert (len(target), source.records) == (4, 9)
    with pytest.raises(ValueError, match="got 9 inputs and 8 targets"):
        ArraySource(MATRIX, np.arange(8), batch_size=4)


@dataclass(eq=False)
class WeightedRows(Module):
    """The sum of the values of each row times the weights of their columns, (N, M) sparse -> (N, 1)."""

    n_columns: int
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.weight = Parameter.create((self.n_columns,), Zeros(), (self.n_columns, 1))

    def apply(self, x: SparseMatrix) -> tuple[np.ndarray, Any]:
        y = np.bincount(x.rows(), x.values * self.weight.value[x.columns], len(x)).astype(np.float32)

        def pull(grad: np.ndarray) -> Any:
            parts = x.values * grad[x.rows(), 0]
            self.weight.accumulate(np.bincount(x.columns, parts, self.n_columns).astype(np.float32))
            return zeros_like(x)

        return y[:, None], pull


@pytest.mark.parametrize("workers", [1, 2])
def test_models_learn_from_sparse_inputs(workers: int) -> None:
    """The weights that made the targets come back."""
    rng = np.random.default_rng(1)
    places = rng.integers(0, 200, 800), rng.integers(0, 5, 800)
    x = SparseMatrix.of(*places, rng.standard_normal(800), (200, 5))
    wanted = np.array([3, -1, 2, 0, 1], np.float32)
    targets = (x.dense() @ wanted)[:, None]
    model = Sequential().add(ParallelTable().add(WeightedRows(5)).add(Linear(2, 1))).add(SelectTable(1))
    data = [x, np.zeros((200, 2), np.float32)], targets
    Optimizer(model, data, MSECriterion(), MaxIteration(60), 50, SGD(0.1), workers=workers, is_quiet=True).optimize()
    np.testing.assert_allclose(model.get_weights()[0], wanted, atol=1e-2)


class ToSparse(Module):
    """What is not zero; how much that is depends on the data."""

    is_dynamic = True

    def apply(self, x: np.ndarray) -> tuple[SparseMatrix, Any]:
        return SparseMatrix.of(*np.nonzero(x), x[np.nonzero(x)], x.shape), lambda grad: grad  # type: ignore[arg-type]


def test_plans_carry_sparse_matrices_inside_but_take_arrays() -> None:
    model = Sequential().add(ToSparse()).add(WeightedRows(4))
    model[1].weight.value[...] = [1, 2, 3, 4]
    plan = compile(model, (3, 4))
    for seed in range(3):
        x = np.random.default_rng(seed).integers(-1, 2, (3, 4)).astype(np.float32)
        np.testing.assert_allclose(plan(x)[:, 0], x @ np.arange(1, 5))
    with pytest.raises(ValueError, match=r"got input sparse \(3, 4\), expected \(3, 4\)"):
        plan(SparseMatrix.of([0], [0], None, (3, 4)))
