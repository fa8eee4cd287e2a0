"""Layers of the family product: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import distance

from dlcore.nn.layer import MM, MV, Bilinear, CosineDistance, CrossProduct, DotProduct, Gemm, PairwiseDistance
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal, rows

CASES = {
    "MM": LayerCase(MM, [normal(2, 3, 4), normal(2, 4, 5)], lambda _, x: x[0] @ x[1]),
    "MM-transposed": LayerCase(
        lambda: MM(True, True), [normal(2, 4, 3), normal(2, 5, 4)], lambda _, x: np.swapaxes(x[1] @ x[0], 1, 2)
    ),
    "MV": LayerCase(
        MV, [normal(2, 3, 4), normal(2, 4)], lambda _, x: np.array([m @ v for m, v in zip(*x, strict=True)])
    ),
    "MV-transposed": LayerCase(lambda: MV(True), [normal(4, 3), normal(4)], lambda _, x: x[1] @ x[0], has_batch=False),
    "MM-broadcast": LayerCase(MM, [normal(2, 3, 4), normal(4, 5)], lambda _, x: x[0] @ x[1], has_batch=False),
    "MV-broadcast": LayerCase(MV, [normal(3, 4), normal(2, 4)], lambda _, x: x[1] @ x[0].T, has_batch=False),
    "Gemm": LayerCase(
        lambda: Gemm(0.5, 2.0),
        [normal(3, 4), normal(4, 5), normal(5)],
        lambda _, x: 0.5 * x[0] @ x[1] + 2 * x[2],
        has_batch=False,
    ),
    "Gemm-transposed": LayerCase(
        lambda: Gemm(trans_a=True, trans_b=True),
        [normal(4, 3), normal(5, 4), normal(3, 5)],
        lambda _, x: (x[1] @ x[0]).T + x[2],
        has_batch=False,
    ),
    "DotProduct": LayerCase(DotProduct, [rows, rows[::-1]], lambda _, x: np.diag(x[0] @ x[1].T)),
    "CosineDistance": LayerCase(
        CosineDistance,
        [rows, rows[::-1] ** 2],
        lambda _, x: np.array([1 - distance.cosine(a, b) for a, b in zip(*x, strict=True)]),
    ),
    "PairwiseDistance": LayerCase(
        lambda: PairwiseDistance(3), [rows, rows[::-1] ** 2], lambda _, x: np.linalg.norm(x[0] - x[1], 3, axis=1)
    ),
    "CrossProduct": LayerCase(
        lambda: CrossProduct(3, 5),
        [rows, rows[::-1], rows**2],
        lambda _, x: np.stack([(x[0] * x[1]).sum(1), (x[0] * x[2]).sum(1), (x[1] * x[2]).sum(1)], 1),
    ),
    "Bilinear": LayerCase(
        lambda: Bilinear(5, 4, 2),
        [rows, normal(4, 4)],
        lambda m, x: np.array([[a @ w @ b for w in m.weight.value] for a, b in zip(*x, strict=True)]) + m.bias.value,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_the_rows_of_an_array_are_no_entries(name):
    with pytest.raises(ValueError, match=r"got input \(2, 3, 3\), expected a table of arrays"):
        CASES[name].make().forward(normal(2, 3, 3))
