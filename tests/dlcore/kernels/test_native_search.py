"""The searches among codes against all distances, sorted, on every instruction set of this CPU and on several
threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcore.kernels import cpu, native
from tests.dlcore.kernels.instruction_sets import limited_to

pytestmark = pytest.mark.skipif(not native.is_available(), reason="no C++ compiler here")

SIZES = [1, 7, 8, 13, 16, 24, 32, 64, 100, 512]
COUNTS = st.sampled_from([0, 1, 2, 31, 33, 257, 2049, 4500])


@pytest.fixture(scope="module", params=["avx512", "avx2", "portable"])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test with these instructions."""
    yield from limited_to(request.param)


def drawn(queries: int, codes: int, size: int, values: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of few different ones, so that many are equal and many are equally far away."""
    generator = np.random.default_rng(seed)
    some = generator.integers(0, 256, (values, size), np.uint8)
    some[1:] = some[0] ^ (some[1:] & generator.integers(0, 2, (values - 1, size), np.uint8))
    return some[generator.integers(0, values, queries)], some[generator.integers(0, values, codes)]


def all_distances(queries: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(Q, N): a product of bits instead of population counts."""
    a, b = (np.unpackbits(part, axis=1).astype(np.float32) for part in (queries, codes))
    return np.asarray(a.sum(axis=1)[:, None] + b.sum(axis=1) - 2 * a @ b.T).astype(np.int64)


def assert_exact(queries: np.ndarray, codes: np.ndarray, k: int, radius: int) -> None:
    apart = all_distances(queries, codes)
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    for parts in ([codes], np.array_split(codes, [len(codes) // 7, len(codes) // 7, len(codes) // 2])):
        indices, distances = native.hamming_top_k(queries, parts, k)
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(distances, np.take_along_axis(apart, order, axis=1))
    i, j, distances = native.hamming_within(queries, codes, radius)
    rows, columns = np.nonzero(apart <= radius)
    np.testing.assert_array_equal(np.stack([i, j]), np.stack([rows, columns]))
    np.testing.assert_array_equal(distances, apart[rows, columns])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([0, 1, 2, 3, 9, 65]), COUNTS, st.sampled_from(SIZES), st.integers(1, 300),
    st.sampled_from([0, 1, 5, 100, 5000]), st.integers(-1, 5000), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_what_is_found_is_exact(instructions, queries, count, size, values, k, radius, seed) -> None:
    assert_exact(*drawn(queries, count, size, values, seed), k, radius % (8 * size + 2) - 1)


@pytest.mark.parametrize("size", SIZES)
def test_radii_and_ranks_of_every_length(instructions: str, size: int) -> None:
    """All lengths, with radii at which half of the words decide and others."""
    generator = np.random.default_rng(size)
    codes = generator.integers(0, 256, (3000, size), np.uint8)
    codes[1000:] = codes[0] ^ (codes[1000:] & generator.integers(0, 256, (2000, size), np.uint8) & 17)
    for radius in (0, size // 2, size, 2 * size, 4 * size):
        assert_exact(codes[:9], codes, 20, radius)
        assert_exact(codes[:1], codes, 20, radius)


def test_the_opposite_of_a_query_is_the_farthest(instructions: str) -> None:
    """A sum of 256 does not fit the bytes that half bytes are added in."""
    codes = np.random.default_rng(5).integers(0, 256, (300, 32), np.uint8)
    codes[17] = ~codes[0]
    for radius in (0, 120, 255, 256):
        assert_exact(codes[np.zeros(16, int)], codes, 300, radius)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(cpu._threads, "count", count)
    assert_exact(*drawn(70, 120_001, 8, 500, 1), 50, 2)


def test_more_pairs_than_one_call_hands_over() -> None:
    codes = np.zeros((700, 16), np.uint8)
    i, j, distances = native.hamming_within(codes, codes, 0)
    assert len(i) == 700**2 > native.native_search._PAIRS
    assert (i * 700 + j).tolist() == list(range(700**2))
    assert not distances.any()
