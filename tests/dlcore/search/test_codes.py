"""Codes: packing, and exact joins against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcore.search.codes import distances, nearest, pack, pairs_between, pairs_within, unpack


def slow_distance(a, b):
    return sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(a, b, strict=True))


def random_codes(count, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_unpack_gives_back_the_bits_that_pack_was_given(bits, seed):
    values = np.random.default_rng(seed).normal(size=(5, bits)).astype(np.float32)
    np.testing.assert_array_equal(unpack(pack(values), bits), values > 0)


def test_pack_takes_a_threshold_for_each_bit():
    values = np.array([[0.2, 0.2, 0.9]])
    np.testing.assert_array_equal(unpack(pack(values, np.array([0.1, 0.3, 0.5])), 3), [[1, 0, 1]])


@pytest.mark.parametrize("size", [1, 3, 8, 16, 32])
def test_distances_equal_a_slow_loop(size):
    queries, codes = random_codes(7, size), random_codes(11, size, seed=1)
    expected = [[slow_distance(q, c) for c in codes] for q in queries]
    np.testing.assert_array_equal(distances(queries, codes), expected)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_join_finds_every_pair_whatever_the_block(block):
    codes = random_codes(60, size=2)
    i, j, apart = pairs_within(codes, 4, block)
    expected = {
        (a, b): slow_distance(codes[a], codes[b])
        for a in range(60)
        for b in range(a + 1, 60)
        if slow_distance(codes[a], codes[b]) <= 4
    }
    assert dict(zip(zip(i.tolist(), j.tolist(), strict=True), apart.tolist(), strict=True)) == expected
    assert list(zip(i, j, strict=True)) == sorted(expected)


def test_join_of_nothing_is_nothing():
    assert [len(part) for part in pairs_within(np.empty((0, 16), np.uint8), 10)] == [0, 0, 0]


def test_nearest_ranks_ties_in_order_of_the_codes():
    codes = np.array([[3], [1], [0], [1], [2]], np.uint8)
    indices, found = nearest(np.array([[0]], np.uint8), [codes], 4)
    assert indices.tolist() == [[2, 1, 3, 4]]
    assert found.tolist() == [[0, 1, 1, 1]]


def test_codes_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 bytes and codes of 16"):
        distances(random_codes(1, 2), random_codes(1, 16))


@pytest.mark.parametrize("size", [8191, 8192, 20_000])
def test_distances_of_long_codes_do_not_overflow(size):
    codes = np.random.default_rng(0).integers(0, 256, (3, size), np.uint8)
    codes[1] = ~codes[0]
    expected = [[(int.from_bytes(a.tobytes()) ^ int.from_bytes(b.tobytes())).bit_count() for b in codes] for a in codes]
    assert expected[0][1] == 8 * size
    assert distances(codes, codes).tolist() == expected
    assert nearest(codes[:1], [codes], 3)[1][0].tolist() == sorted(expected[0])
    assert pairs_within(codes, 8 * size)[2].tolist() == [expected[0][1], expected[0][2], expected[1][2]]


@given(st.integers(0, 20), st.integers(0, 30), st.integers(1, 3), st.integers(-1, 24), st.integers(0, 2**32 - 1))
def test_join_of_two_sets_finds_every_pair_whatever_the_block(m, n, size, radius, seed):
    generator = np.random.default_rng(seed)
    first, second = (generator.integers(0, 4, (count, size), np.uint8) for count in (m, n))
    expected = sorted(
        (a, b, slow_distance(first[a], second[b]))
        for a in range(m)
        for b in range(n)
        if slow_distance(first[a], second[b]) <= radius
    )
    blocks = list(pairs_between(first, second, radius, rows=8, columns=7))
    assert all(len(i) and np.ptp(i) < 8 and np.ptp(j) < 7 for i, j, _ in blocks)
    assert (
        sorted((a, b, d) for block in blocks for a, b, d in zip(*map(np.ndarray.tolist, block), strict=True))
        == expected
    )
