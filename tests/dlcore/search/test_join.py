"""Joins of codes by chunks against all pairs, whatever the chunks, the lengths and the number of equal codes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore import kernels
from dlcore.search import join
from dlcore.search.join import Chunk, chosen, joined

LENGTHS = st.sampled_from([1, 3, 8, 16, 17, 32])


def near_codes(count: int, size: int, seed: int) -> np.ndarray:
    """Codes that are few bits from one another, some of them equal."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (max(count // 8, 1), size), np.uint8)[rng.integers(0, max(count // 8, 1), count)]
    return codes ^ np.bitwise_and.reduce(rng.integers(0, 256, (3, count, size), np.uint8), axis=0)


def by_hand(first: np.ndarray, second: np.ndarray | None, radius: int) -> set[tuple[int, int, int]]:
    one, other = (np.unpackbits(codes, axis=1) for codes in (first, first if second is None else second))
    apart = (one[:, None] != other[None]).sum(axis=2)
    return {
        (i, j, int(apart[i, j])) for i, j in np.argwhere(apart <= radius).tolist() if second is not None or i < j
    }  # fmt: skip


def found_by(first, second, radius, chunks=None, part=(0, 1)):
    given = joined(first, second, radius, chunks, part)
    found = [row for arrays in given for row in zip(*(a.tolist() for a in arrays), strict=True)]
    assert len(found) == len(set(found)), "a pair was given twice"
    return set(found)


@st.composite
def cut(draw, bits: int, radius: int) -> list[Chunk]:
    """Chunks of any widths, in any places, whose flips are enough for the radius."""
    chunks, start, sum_ = [], 0, 0
    while start < bits:
        width = min(draw(st.integers(1, 9)), bits - start)
        flips = draw(st.integers(0, min(width, 3)))
        if draw(st.booleans()):
            chunks.append(Chunk(start, width, flips))
            sum_ += flips + 1
        start += width
    return chunks if sum_ > radius else []


@settings(max_examples=60)
@given(st.data(), LENGTHS, st.integers(0, 60), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_every_pair_is_found_once_whatever_the_chunks(data, size, count, others, seed):
    radius = data.draw(st.integers(0, 2 * size))
    chunks = data.draw(cut(8 * size, radius))
    first, second = near_codes(count, size, seed), near_codes(others, size, seed)
    assert found_by(first, second, radius, chunks) == by_hand(first, second, radius)
    assert found_by(first, None, radius, chunks) == by_hand(first, None, radius)
    parts = [row for n in range(3) for row in found_by(first, None, radius, chunks, (n, 3))]
    assert sorted(parts) == sorted(by_hand(first, None, radius))


@pytest.fixture
def slow_comparing(monkeypatch):
    """So few codes as a test has are compared sooner with all; here as if that took long."""
    monkeypatch.setattr(join, "COMPARED_NS", dict.fromkeys(join.COMPARED_NS, 50.0))


@pytest.mark.usefixtures("slow_comparing")
@pytest.mark.parametrize("size, radius", [(8, 3), (16, 11), (16, 20), (32, 40)])
def test_the_chosen_way_finds_what_comparing_all_finds(size, radius):
    codes = near_codes(9000, size, size)
    chunks = chosen(codes, None, radius)
    assert chunks, "so many codes are compared sooner by chunks"
    assert found_by(codes, None, radius) == found_by(codes, None, radius, [])
    assert found_by(codes[:4000], codes[4000:], radius, chunks) == found_by(codes[:4000], codes[4000:], radius, [])


def test_few_codes_are_compared_with_all():
    assert chosen(near_codes(100, 16, 0), None, 5) == []


@pytest.mark.usefixtures("slow_comparing")
def test_skewed_bits_are_left_out_of_the_chunks():
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 16), np.uint8)
    codes[:, :4] = 7  # the same of all: a chunk of these bits would be one bucket
    chunks = chosen(codes, None, 6)
    assert chunks
    assert all(chunk.start >= 16 for chunk in chunks)


def test_chunks_that_would_miss_pairs_are_refused():
    with pytest.raises(ValueError, match=r"expected flips \+ 1 of more than 4"):
        next(joined(near_codes(5, 2, 0), None, 4, [Chunk(0, 8, 1), Chunk(8, 8, 1)]))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_backends_agree_on_pairs_in_buckets(backend):
    codes = near_codes(400, 16, 1)
    chunk, other = Chunk(0, 5, 1), Chunk(30, 6, 1)
    order, buckets = join._sorted(codes, chunk)
    window, wider = Chunk(3, 40, 0).mask(16), Chunk(25, 30, 0).mask(16)
    earlier = np.array([[other.mask(16), wider]]), np.array([[1, 4]], np.int64)
    with kernels.using(backend):
        parts = list(kernels.hamming_in_buckets(buckets, None, chunk.patterns(), 20, (window, 7), earlier))
    found = {(*sorted((order[i], order[j])), d) for part in parts for i, j, d in zip(*part, strict=True)}
    bits = np.unpackbits(codes, axis=1)
    expected = {
        (i, j, d)
        for i, j in combinations(range(400), 2)
        if (d := int((bits[i] != bits[j]).sum())) <= 20
        and (bits[i, :5] != bits[j, :5]).sum() <= 1
        and (bits[i, 3:43] != bits[j, 3:43]).sum() <= 7
        and ((bits[i, 30:36] != bits[j, 30:36]).sum() > 1 or (bits[i, 25:55] != bits[j, 25:55]).sum() > 4)
    }
    assert found == expected
    assert expected


def test_a_hundred_thousand_codes_have_the_pairs_that_comparing_all_finds():
    size, radius = 16, 20
    rng = np.random.default_rng(size)
    codes = rng.integers(0, 256, (100_000, size), np.uint8)
    copies = rng.choice(100_000, 5000, replace=False)
    codes[copies] = codes[rng.integers(0, 100_000, 5000)] ^ np.bitwise_and.reduce(
        rng.integers(0, 256, (3, 5000, size), np.uint8), axis=0
    )
    assert chosen(codes, None, radius)
    expected = found_by(codes, None, radius, [])
    assert found_by(codes, None, radius) == expected
    assert len(expected) > 2500
