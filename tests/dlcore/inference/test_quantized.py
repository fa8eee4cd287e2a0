"""Quantized layers against loops over whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.activity import Array
from dlcore.interop.native import load_module
from dlcore.nn.layer import (
    Graph,
    Input,
    Linear,
    ReLU,
    Sequential,
    SpatialConvolution,
    SpatialDilatedConvolution,
    View,
)


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def whole(x: Array) -> tuple[np.ndarray, float]:
    """Numbers from -127 to 127, and their scale."""
    scale = float(np.abs(x).max()) / 127
    return np.rint(x.astype(np.float64) / scale).astype(int), scale


def product(given: Array, weight: Array) -> float:
    (a, first), (b, second) = whole(given), whole(weight)
    return sum(int(p) * int(q) for p, q in zip(a.ravel(), b.ravel(), strict=True)) * first * second


@pytest.mark.parametrize("shape", [(3, 6), (6,)])
def test_a_linear_layer_multiplies_whole_numbers(shape: tuple[int, ...]) -> None:
    model, x = Linear(6, 4), values(*shape)
    found = model.quantize().forward(x)
    rows = x.reshape(-1, 6)
    wanted = [[product(row, weight) for weight in model.weight.value] + model.bias.value for row in rows]
    np.testing.assert_allclose(found.reshape(-1, 4), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "model", [SpatialConvolution(2, 3, 3, 3), SpatialDilatedConvolution(2, 3, 2, 2, 1, 1, 0, 0, 2, 2)]
)
def test_a_convolution_multiplies_whole_numbers(model: SpatialConvolution) -> None:
    x = values(2, 2, 4, 4) * np.array([1, 50], np.float32).reshape(2, 1, 1, 1)
    found = model.quantize().forward(x)
    step = model.window.dilation[0]
    reach = 3 if step == 2 else model.kernel_h
    for picture, result in zip(x, found, strict=True):
        given, scale = whole(picture)
        for row, column in np.ndindex(2, 2):
            window = given[:, row : row + reach : step, column : column + reach : step] * np.float32(scale)
            for plane, weight in enumerate(model.weight.value):
                numbers, second = whole(weight)
                wanted = (np.rint(window / scale) * numbers).sum() * scale * second + model.bias.value[plane]
                assert result[plane, row, column] == pytest.approx(wanted, rel=1e-4, abs=1e-4 * scale * 127)


def test_the_model_it_was_made_from_is_as_it_was(tmp_path: Path) -> None:
    image = Input()
    block = ReLU()(SpatialConvolution(2, 3, 3, 3)(image))
    model = Graph([image], [Linear(12, 2)(View([12])(block))])
    x = values(2, 2, 4, 4)
    before = model.forward(x)
    small = model.quantize()
    np.testing.assert_array_equal(model.forward(x), before)
    assert 0 < np.abs(small.forward(x) - before).max() < 0.05 * np.abs(before).max()
    again = load_module(small.save(tmp_path / "small"))
    np.testing.assert_array_equal(again.forward(x), small.forward(x))
    assert "quantized.SpatialConvolution" in str(again)


def test_subclasses_and_other_layers_stay() -> None:
    class Own(Linear):
        pass

    kinds = [type(part).__name__ for part in Sequential().add(Own(2, 2)).add(ReLU()).quantize().modules]
    assert kinds == ["Own", "ReLU"]


def test_it_does_not_train() -> None:
    model, x = Linear(3, 2).quantize(), values(2, 3)
    with pytest.raises(TypeError, match=r"quantized\.Linear: got a backward pass"):
        model.backward(x, model.forward(x))


def test_nothing_but_zeros_gives_the_bias() -> None:
    model = Linear(3, 2)
    np.testing.assert_array_equal(model.quantize().forward(np.zeros((1, 3), np.float32)), [model.bias.value])
