"""The steps of an LSTM by the native kernel against the plain numpy kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dlcore.kernels import native_recurrent, reference
from tests.dlcore.kernels.instruction_sets import limited_to


@pytest.fixture(params=["avx2", "avx512"])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from limited_to(request.param)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def computed(x, w, u, b, states, is_reversed=False, threads=1) -> np.ndarray:
    """As a plan does it: the input's share in all steps first. x (N, T, I) -> (N, T, H)."""
    packed = native_recurrent.by_block(w), native_recurrent.by_block(b)
    shares = np.einsum("nti,bgli->ntbgl", x, packed[0]) + packed[1]
    shares = np.ascontiguousarray(shares.reshape(*x.shape[:2], -1), np.float32)
    y = np.full((*x.shape[:2], u.shape[1]), np.nan, np.float32)
    native_recurrent.Lstm(shares, u, states, y, is_reversed, threads)()
    return y


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(
    ("count", "steps", "hidden"), [(1, 4, 5), (2, 3, 16), (7, 5, 33), (13, 2, 8), (20, 1, 40), (6, 3, 1)]
)
def test_all_steps(count: int, steps: int, hidden: int, is_reversed: bool, instructions: str) -> None:
    x, w, u, b = random(count, steps, 6), random(4 * hidden, 6), random(4 * hidden, hidden) / 4, random(4 * hidden)
    states = [random(count, hidden), random(count, hidden)[::-1].copy()]
    order = slice(None, None, -1 if is_reversed else 1)
    expected = reference.lstm(x.swapaxes(0, 1)[order], w, u, b, *states)[0][order].swapaxes(0, 1)
    np.testing.assert_allclose(computed(x, w, u, b, states, is_reversed), expected, atol=3e-6)


def test_gates_that_are_wide_open_or_shut(instructions: str) -> None:
    """Values far outside what an exponential can hold, and one that is no number: it stays where it is."""
    x, w, u, b = np.ones((3, 2, 1), np.float32), np.zeros((8, 1), np.float32), np.zeros((8, 2), np.float32), random(8)
    b[:] = (200, -200, 1e30, 0, -1e30, 500, 90, -90)
    x[1] = np.nan
    states = [random(3, 2), random(2, 3).T.copy()]
    with np.errstate(invalid="ignore"):
        expected = reference.lstm(x.swapaxes(0, 1), w, u, b, *states)[0].swapaxes(0, 1)
    y = computed(x, w, u, b, states)
    assert np.isnan(y[1]).all()
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_a_sequence_does_not_depend_on_threads_or_neighbours(instructions: str) -> None:
    x, w, u, b = random(9, 4, 6), random(48, 6), random(48, 12), random(48)
    states = [random(9, 12), random(12, 9).T.copy()]
    alone = computed(x[4:5], w, u, b, [state[4:5] for state in states])
    for threads in (1, 2, 4):
        np.testing.assert_array_equal(computed(x, w, u, b, states, threads=threads)[4], alone[0])


def test_wrong_arrays_are_refused() -> None:
    u, y = random(12, 3), np.zeros((2, 4, 3), np.float32)
    states, whole = [np.zeros((2, 3), np.float32)] * 2, native_recurrent.by_block(random(12)).size
    with pytest.raises(ValueError, match=r"got shares \(2, 4, 5\), expected \(2, 4, "):
        native_recurrent.Lstm(random(2, 4, 5), u, states, y, False, 1)
    with pytest.raises(ValueError, match=r"got states \[\(2, 3\)\], expected two of \(2, 3\)"):
        native_recurrent.Lstm(random(2, 4, whole), u, states[:1], y, False, 1)
