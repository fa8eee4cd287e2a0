"""Sequences whose weights, states or gradients do not fit them are refused: a library would read what lies behind
them."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore import kernels

SHAPES = {
    "lstm": {"x": (5, 3, 7), "w": (16, 7), "u": (16, 4), "b": (16,), "h": (3, 4), "c": (3, 4)},
    "gru": {"x": (5, 3, 7), "w": (12, 7), "u": (8, 4), "v": (4, 4), "b": (12,), "h": (3, 4)},
}
SMALLER = [(operation, name) for operation, shapes in SHAPES.items() for name in shapes if name not in ("x", "h")]


@pytest.mark.parametrize("backend", ["auto", "onednn", "reference"])
@pytest.mark.parametrize(("operation", "name"), SMALLER)
def test_arrays_that_do_not_fit(operation: str, name: str, backend: str) -> None:
    shapes = {**SHAPES[operation], name: (SHAPES[operation][name][0] - 1, *SHAPES[operation][name][1:])}
    with (
        kernels.using(backend),
        pytest.raises(ValueError, match=rf"{operation}: got {name} \(.*, expected \(.*\) for x"),
    ):
        getattr(kernels, operation)(*(np.zeros(shape, np.float32) for shape in shapes.values()))


@pytest.mark.parametrize("backend", ["auto", "onednn", "reference"])
@pytest.mark.parametrize("operation", SHAPES)
def test_gradients_that_do_not_fit(operation: str, backend: str) -> None:
    with kernels.using(backend):
        y, *states, saved = getattr(kernels, operation)(*(np.zeros(s, np.float32) for s in SHAPES[operation].values()))
        with pytest.raises(ValueError, match=rf"{operation}_backward: got gradients .*\(5, 2, 4\).*, expected"):
            getattr(kernels, f"{operation}_backward")(y[:, :2], *states, saved)
