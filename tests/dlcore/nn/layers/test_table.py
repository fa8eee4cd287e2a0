"""Layers of the family table: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import (
    BifurcateSplitTable,
    CAddTable,
    CAveTable,
    CDivTable,
    CMaxTable,
    CMinTable,
    CMulTable,
    CSubTable,
    FlattenTable,
    GaussianSampler,
    JoinTable,
    MaskedSelect,
    MixtureTable,
    NarrowTable,
    Pack,
    SelectTable,
    SplitTable,
    TableOperation,
)
from dlcore.rng import RNG
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import apart, cube, image, normal, table

row = table[1][:, :1]
experts, gater = normal(2, 3, 4), normal(2, 3, seed=8)


def noise(shape):
    """What the harness's seed draws."""
    RNG.set_seed(20)
    return RNG.normal(0, 1, shape)


def slow_mixture(gater, experts):
    """experts: (E, N, ...)."""
    return np.array([sum(g * e for g, e in zip(gates, experts[:, n], strict=True)) for n, gates in enumerate(gater)])


CASES = {
    "CAddTable": LayerCase(CAddTable, table, lambda _, x: x[0] + x[1]),
    "CAveTable": LayerCase(CAveTable, table, lambda _, x: (x[0] + x[1]) / 2),
    "CAddTable-broadcast": LayerCase(CAddTable, [*table, row], lambda _, x: x[0] + x[1] + x[2]),
    "CAveTable-broadcast": LayerCase(CAveTable, [table[0], row], lambda _, x: (x[0] + x[1]) / 2),
    "CSubTable": LayerCase(CSubTable, table, lambda _, x: x[0] - x[1]),
    "CMulTable": LayerCase(CMulTable, [*table, cube], lambda _, x: x[0] * x[1] * x[2]),
    "CDivTable": LayerCase(CDivTable, [table[0], np.abs(table[1]) + 1], lambda _, x: x[0] / x[1]),
    "CMaxTable": LayerCase(CMaxTable, list(apart(2, 2, 3)), lambda _, x: np.maximum(*x)),
    "CMinTable": LayerCase(CMinTable, list(apart(2, 2, 3)), lambda _, x: np.minimum(*x)),
    "JoinTable": LayerCase(lambda: JoinTable(1, 2), table, lambda _, x: np.concatenate(x, 1)),
    "JoinTable-planes": LayerCase(lambda: JoinTable(1, 3), [image, image[:, :2]], lambda _, x: np.concatenate(x, 1)),
    "SplitTable": LayerCase(lambda: SplitTable(2), cube, lambda _, x: [x[:, i] for i in range(3)]),
    "BifurcateSplitTable": LayerCase(lambda: BifurcateSplitTable(2), cube, lambda _, x: [x[:, :1], x[:, 1:]]),
    "Pack": LayerCase(lambda: Pack(2), table, lambda _, x: np.stack(x, 1)),
    "SelectTable": LayerCase(lambda: SelectTable(-1), table, lambda _, x: x[1]),
    "NarrowTable": LayerCase(lambda: NarrowTable(2, 2), [*table, cube], lambda _, x: x[1:]),
    "FlattenTable": LayerCase(FlattenTable, [table[0], [table[1], cube]], lambda _, x: [x[0], *x[1]]),
    "TableOperation": LayerCase(lambda: TableOperation(CSubTable()), [table[0], row], lambda _, x: x[0] - x[1]),
    "TableOperation-first": LayerCase(
        lambda: TableOperation(CDivTable()), [row, np.abs(table[0]) + 1], lambda _, x: x[0] / x[1]
    ),
    "MaskedSelect": LayerCase(
        MaskedSelect,
        [cube, (table[0] > 0).astype(int)],
        lambda _, x: np.array([a for a, m in zip(x[0].reshape(-1), x[1].reshape(-1), strict=True) if m]),
        has_batch=False,
        is_differentiable=False,
    ),
    "MixtureTable": LayerCase(
        MixtureTable,
        [gater, [*table, cube]],
        lambda _, x: slow_mixture(x[0], np.array(x[1])),
    ),
    "MixtureTable-array": LayerCase(
        lambda: MixtureTable(3), [normal(2, 4), cube], lambda _, x: slow_mixture(x[0], np.moveaxis(x[1], 2, 0))
    ),
    "MixtureTable-single": LayerCase(MixtureTable, [gater[0], experts[0]], lambda _, x: x[0] @ x[1], has_batch=False),
    "GaussianSampler": LayerCase(GaussianSampler, table, lambda _, x: x[0] + np.exp(x[1] / 2) * noise(x[0].shape)),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("SplitTable", "BifurcateSplitTable", "Pack", "FlattenTable")]
)
def test_the_rows_of_an_array_are_no_entries(name):
    with pytest.raises(ValueError, match=r"got input \(2, 3, 4\), expected a table of arrays"):
        CASES[name].make().forward(cube)


def test_a_mask_gives_gradients_to_what_it_selects():
    layer = MaskedSelect()
    x = [np.arange(6.0).reshape(2, 3), np.array([[1, 0, 1], [0, 0, 1]])]
    np.testing.assert_array_equal(layer.forward(x), [0, 2, 5])
    grads = layer.backward(x, np.array([7.0, 8, 9]))
    np.testing.assert_array_equal(grads[0], [[7, 0, 8], [0, 0, 9]])
    assert not grads[1].any()
    assert layer.forward([x[0], 0 * x[1]]).shape == (0,)


def test_samples_have_the_deviation_asked_for():
    RNG.set_seed(1)
    y = GaussianSampler().forward([np.full(20000, 3.0), np.full(20000, np.log(4.0))])
    assert (y.mean(), y.std()) == (pytest.approx(3, abs=0.05), pytest.approx(2, rel=0.02))


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (lambda: TableOperation(CMulTable()), [cube, cube[0]], "expected as many dimensions in both"),
        (MaskedSelect, [cube, cube[:1]], "expected a mask of the array's shape"),
        (MixtureTable, [gater, list(table)], "expected 3 experts"),
        (GaussianSampler, [cube, cube[:1]], "expected a mean and a log_variance of one shape"),
        (GaussianSampler, [cube], r"got input \[\(2, 3, 4\)\], expected a table of two entries"),
    ],
)
def test_what_does_not_fit_is_refused(make, given, message):
    with pytest.raises(ValueError, match=message):
        make().forward(given)
