"""The inverted block in one pass against its convolutions one after the other by the plain numpy kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dlcore import kernels
from dlcore.kernels import native_separable, reference
from dlcore.kernels.native_separable import InvertedBlock, Part
from tests.dlcore.kernels.instruction_sets import limited_to

ONES, NONE = (1, 1), (0, 0, 0, 0)


@pytest.fixture(params=["avx2", "avx512"])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from limited_to(request.param)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def images(*shape: int) -> np.ndarray:
    return kernels.channels_last(random(*shape))


def rows(x: np.ndarray | None) -> np.ndarray | None:
    return None if x is None else x.transpose(0, 2, 3, 1)


def block(x: np.ndarray, planes: int, wide: int, kernel: int) -> tuple[Part | None, Part, Part]:
    """Widened unless the picture has as many planes already; cut to 6, at 0 and to 2.5, and to (-3, 3)."""
    first = Part(random(wide, x.shape[1], 1, 1), random(wide), 0.0, 6.0) if x.shape[1] != wide else None
    deep = Part(random(wide, 1, kernel, kernel), random(wide + 1)[1:], 0.0, 2.5)
    return first, deep, Part(random(planes, wide, 1, 1), random(planes), -3.0, 3.0)


def expected(x: np.ndarray, parts: tuple, stride: int, padding: tuple, residual: np.ndarray | None) -> np.ndarray:
    wide, deep, out = parts
    if wide is not None:
        x = np.clip(reference.conv(x, wide.weight, wide.bias, ONES, NONE, ONES, 1), wide.low, wide.high)
    x = reference.conv(x, deep.weight, deep.bias, (stride, stride), padding, ONES, len(deep.weight))
    y = reference.conv(np.clip(x, deep.low, deep.high), out.weight, out.bias, ONES, NONE, ONES, 1)
    return np.clip(y if residual is None else y + residual, out.low, out.high)


def computed(x, parts, stride, padding, residual, threads=1) -> np.ndarray:
    shape = expected(x, parts, stride, padding, None).shape
    y = kernels.empty_channels_last(shape)
    y[...] = np.nan
    InvertedBlock(rows(x), rows(y), parts, stride, padding, residual=rows(residual), threads=threads)()
    return y


CASES = {
    "widened": ((2, 5, 13, 11), 7, 20, 3, 1, (1, 1, 1, 1), True),
    "whole vectors": ((1, 16, 17, 30), 32, 64, 3, 1, (1, 1, 1, 1), True),
    "half": ((1, 24, 14, 15), 40, 48, 3, 2, (1, 1, 1, 1), False),
    "uneven padding": ((1, 9, 10, 12), 18, 33, 5, 2, (1, 2, 2, 1), False),
    "large kernel": ((2, 8, 9, 20), 8, 24, 5, 1, (2, 2, 2, 2), True),
    "not widened": ((1, 18, 12, 12), 16, 18, 3, 1, (1, 1, 1, 1), False),
    "no padding": ((1, 4, 7, 9), 5, 8, 3, 1, NONE, False),
    "one pixel": ((1, 4, 1, 1), 3, 8, 5, 1, (2, 2, 2, 2), False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_block_is_its_convolutions(name: str, instructions: str) -> None:
    shape, planes, wide, kernel, stride, padding, has_residual = CASES[name]
    x = images(*shape)
    parts = block(x, planes, wide, kernel)
    found = expected(x, parts, stride, padding, None).shape
    residual = images(*found) if has_residual else None
    wanted = expected(x, parts, stride, padding, residual)
    np.testing.assert_allclose(computed(x, parts, stride, padding, residual), wanted, atol=3e-5)


def test_a_picture_does_not_depend_on_threads_or_neighbours(instructions: str) -> None:
    x = images(3, 6, 40, 21)
    parts, geometry = block(x, 10, 40, 3), (2, (0, 0, 1, 1), None)
    alone = computed(x[1:2], parts, *geometry)
    for threads in (1, 2, 5):
        assert np.array_equal(computed(x, parts, *geometry, threads)[1], alone[0])


def test_what_is_no_number_stays_so(instructions: str) -> None:
    x = images(1, 6, 9, 9)
    x[0, 2, 4, 4] = np.nan
    y = computed(x, block(x, 10, 40, 3), 1, (1, 1, 1, 1), None)
    assert np.isnan(y[0, :, 3:6, 3:6]).all()
    assert np.isnan(y).sum() == 90


def test_large_pictures_of_known_filters_are_suited() -> None:
    x = images(1, 8, 4, 4)
    parts = block(x, 8, 64, 3)
    padding = (1, 1, 1, 1)
    assert native_separable.suits((64, 64), *parts, ONES, padding, 1)
    assert native_separable.suits((32, 32), *parts, ONES, padding, 4)
    assert not native_separable.suits((32, 32), *parts, ONES, padding, 1)
    assert not native_separable.suits((64, 64), *parts, (1, 2), padding, 1)
    assert not native_separable.suits((64, 64), *parts, ONES, (3, 1, 1, 1), 1)
    assert not native_separable.suits((64, 64), *block(x, 8, 64, 7), ONES, (3,) * 4, 1)


def test_wrong_arrays_are_refused() -> None:
    x, y = images(1, 4, 6, 6), images(1, 5, 6, 5)
    parts = block(x, 5, 8, 3)
    with pytest.raises(ValueError, match=r"got y of shape \(1, 6, 5, 5\), expected a contiguous \(1, 6, 6, 5\)"):
        InvertedBlock(rows(x), rows(y), parts, 1, (1, 1, 1, 1))
    with pytest.raises(ValueError, match=r"got x \(1, 6, 5, 5\), expected \(N, H, W, 4\)"):
        InvertedBlock(rows(y), rows(x), parts, 1, (1, 1, 1, 1))
