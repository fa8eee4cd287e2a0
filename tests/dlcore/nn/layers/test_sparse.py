"""Layers of the family sparse: a row per layer and variant, on sparse matrices and on arrays."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.activity import SparseMatrix
from dlcore.inference import compile
from dlcore.nn.layer import (
    DenseToSparse,
    Identity,
    LookupTableSparse,
    ParallelTable,
    Sequential,
    SparseJoinTable,
    SparseLinear,
)
from dlcore.nn.regularizer import L2Regularizer
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

array = normal(4, 6) * (normal(4, 6, seed=6) > 0.3)
array[2] = 0
matrix = SparseMatrix.of(*np.nonzero(array), array[np.nonzero(array)], array.shape)
repeated = SparseMatrix.of([0, 0, 1, 3], [2, 2, 5, 0], [1, 2, 3, 4], (4, 6))
places = [0, 0, 1, 1, 1, 3], [1, 3, 0, 2, 4, 2]
numbers = SparseMatrix.of(*places, [2, 5, 1, 2, 2, 5], (4, 5))
weights = SparseMatrix.of(*places, [0.5, 2, 1, -0.3, 3, 0.7], (4, 5))


def dense(x):
    return x.dense() if isinstance(x, SparseMatrix) else x


def slow_lookup(module, x):
    """Entry by entry; BigDL's formula."""
    given, shares = (
        x if isinstance(x, list) else (x, SparseMatrix(np.ones(len(x.values)), x.columns, x.starts, x.width))
    )
    y = np.zeros((len(given), module.n_output))
    for n in range(len(given)):
        span = range(given.starts[n], given.starts[n + 1])
        for entry in span:
            vector = module.weight.value[int(given.values[entry]) - 1]
            norm = np.sqrt((vector**2).sum())
            shorter = vector * module.max_norm / norm if 0 < module.max_norm < norm else vector
            y[n] += shares.values[entry] * shorter
        total = {"sum": 1, "mean": sum(shares.values[span]), "sqrtn": np.sqrt(sum(shares.values[span] ** 2))}
        y[n] /= total[module.combiner.lower()] if span else 1
    return y


def linear(module, x):
    return dense(x) @ module.weight.value.T + (0 if module.bias is None else module.bias.value)


CASES = {
    "SparseLinear": LayerCase(lambda: SparseLinear(6, 3), matrix, linear),
    "SparseLinear-repeated": LayerCase(lambda: SparseLinear(6, 3, with_bias=False), repeated, linear),
    "SparseLinear-array": LayerCase(lambda: SparseLinear(6, 3, True, 1, 6), array, linear, is_differentiable=False),
    "DenseToSparse": LayerCase(DenseToSparse, array, lambda _, x: matrix, is_differentiable=False),
    "SparseJoinTable": LayerCase(
        lambda: SparseJoinTable(2),
        [matrix, repeated, array],
        lambda _, x: np.concatenate([dense(part) for part in x], 1),
        is_differentiable=False,
    ),
    "SparseJoinTable-below": LayerCase(
        lambda: SparseJoinTable(1),
        [matrix, repeated],
        lambda _, x: np.concatenate([dense(part) for part in x]),
        has_batch=False,
        is_differentiable=False,
    ),
    "LookupTableSparse": LayerCase(lambda: LookupTableSparse(6, 3), numbers, slow_lookup),
    "LookupTableSparse-mean": LayerCase(lambda: LookupTableSparse(6, 3, "MEAN"), numbers, slow_lookup),
    "LookupTableSparse-weights": LayerCase(lambda: LookupTableSparse(6, 3, "mean"), [numbers, weights], slow_lookup),
    "LookupTableSparse-sqrtn": LayerCase(
        lambda: LookupTableSparse(6, 3, "sqrtn", 1.0), [numbers, weights], slow_lookup
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_a_linear_layer_sends_back_the_columns_asked_for():
    layer = SparseLinear(6, 3, True, 3, 2, L2Regularizer(0.5))
    layer.forward(matrix)
    grad = normal(4, 3)
    grad_x = layer.backward(matrix, grad)
    expected = grad @ layer.weight.value
    expected[:, [0, 1, 4, 5]] = 0
    np.testing.assert_allclose(grad_x, expected, atol=1e-6)
    np.testing.assert_allclose(layer.weight.grad, grad.T @ array + 0.5 * layer.weight.value, atol=1e-5)


def test_a_wide_and_deep_model_learns_through_what_is_joined():
    """Gradients of both parts are those of one dense layer on everything."""
    model = Sequential().add(ParallelTable().add(Identity()).add(DenseToSparse())).add(SparseJoinTable(2))
    model.add(SparseLinear(10, 2, True, 7, 4))
    deep, grad = normal(4, 4), normal(4, 2)
    y = model.forward([matrix, deep])
    weight = model.modules[-1].weight.value
    np.testing.assert_allclose(y, np.hstack([array, deep]) @ weight.T + model.modules[-1].bias.value, atol=1e-5)
    wide_grad, deep_grad = model.backward([matrix, deep], grad)
    np.testing.assert_allclose(deep_grad, grad @ weight[:, 6:], atol=1e-6)
    assert not wide_grad.any()


def test_plans_compute_them():
    model = Sequential().add(DenseToSparse()).add(SparseLinear(6, 3)).evaluate()
    np.testing.assert_allclose(compile(model, (4, 6))(array), model.forward(array), atol=1e-6)
    table = LookupTableSparse(6, 3).evaluate()
    np.testing.assert_allclose(compile(table, (4, 5))(numbers.dense()), table.forward(numbers), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (lambda: SparseLinear(5, 3), matrix, r"got input sparse \(4, 6\), expected \(N, 5\)"),
        (lambda: SparseLinear(5, 3, True, 4, 3), None, "got columns to 6, expected up to 5"),
        (DenseToSparse, normal(2, 3, 4), r"got input \(2, 3, 4\), expected a sparse matrix"),
        (lambda: SparseJoinTable(3), None, "expected 1 or 2"),
        (lambda: SparseJoinTable(2), [matrix, matrix[:2]], "expected equal sizes"),
        (lambda: LookupTableSparse(4, 3), numbers, "got numbers 1 to 5, expected 1 to 4"),
        (lambda: LookupTableSparse(4, 3, "max"), None, "expected one of sum, mean, sqrtn"),
        (lambda: LookupTableSparse(6, 3), [numbers, numbers[::-1]], "expected weights at the places of the numbers"),
    ],
)
def test_what_does_not_fit_is_refused(make, given, message):
    with pytest.raises(ValueError, match=message):
        make().forward(given)
