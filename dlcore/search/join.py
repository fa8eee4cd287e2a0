"""Exact joins of large sets of codes within a radius, by multi-index hashing if that is faster than comparing all with
all.

The bits of a code are cut into chunks c, each with a number of flips t_c. Two codes within r bits of each other differ
in at most t_c bits of some chunk, as long as the sum of t_c + 1 is more than r: otherwise they would differ in more. So
the codes are sorted by a chunk into buckets, and those of a bucket are compared with those of the buckets at most t_c
bits from it. (Multi-index hashing: Norouzi, Punjani and Fleet 2012; unequal numbers of flips: Qin et al. 2018, "GPH".)
A chunk and the bits that follow it are its window, one word. A low limit on the window rules out nearly every pair of
such buckets.

How many pairs a chunk hands on is counted on a sample of pairs, since the bits of learned codes depend on each other.
The chunks that are cheapest by the measured costs below are used; they decide how long a join takes, not what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.kernels.interface import WINDOW_BYTES, Buckets
from dlcore.search.codes import Codes, Distances, Indices, pairs_between

COMPARED_NS = {1: 0.07, 2: 0.07, 3: 0.09, 4: 0.11}
"""Nanoseconds to compare a pair of codes, by the number of 64-bit words that are read; with AVX2 four times that."""
BUCKET_NS = 6.0
"""Nanoseconds to compare a code with a bucket, besides those of its pairs; with AVX2 twice that."""
SORTED_NS = 60.0
"""Nanoseconds of a code for each chunk: its bits are read and sorted, and it is put in place."""
WIDEST = 16
"""Bits of a chunk: 65,536 buckets."""
_MOST_FLIPS = 4
_SAMPLE = 1 << 14
_SMALL = 1 << 24
"""Number of pairs below which comparing takes less time than choosing a method."""


@dataclass(frozen=True)
class Chunk:
    """Bits `start` to `start + width` of a code, where 0 is the highest bit of its first byte, and how many may be
    flipped."""

    start: int
    width: int
    flips: int

    def numbers(self, codes: Codes) -> NDArray[np.uint16]:
        """The bits of each code (N, B) as a number."""
        first, last = self.start // 8, (self.start + self.width - 1) // 8
        window = np.zeros(len(codes), np.uint32)
        for byte in range(first, last + 1):
            window = window << np.uint32(8) | codes[:, byte]
        window >>= np.uint32(8 * (last + 1) - self.start - self.width)
        return (window & np.uint32((1 << self.width) - 1)).astype(np.uint16)

    def mask(self, size_bytes: int) -> Codes:
        """The mask (B,) of its bits in a code of so many bytes."""
        return _mask(np.isin(np.arange(8 * size_bytes), np.arange(self.start, self.start + self.width)))

    def patterns(self) -> Indices:
        """The numbers with at most `flips` bits set, fewest first."""
        places = range(self.width)
        found = [sum(1 << p for p in chosen) for n in range(self.flips + 1) for chosen in combinations(places, n)]
        return np.array(found, np.int64)


def joined(
    first: Codes,
    second: Codes | None,
    radius: int,
    chunks: Sequence[Chunk] | None = None,
    part: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Indices, Indices, Distances]]:
    """Pairs of a code i of `first` (M, B) and j of `second` (N, B) at most `radius` bits apart; of i < j within `first`
    without a second.

    Gives (i, j, distance), each pair once, a bounded number at once, in no order. chunks: as `chosen` gives them, by
    default for these codes; an empty list compares all with all. part: of how many parts of these pairs which one, from
    0; each has some of the chunks.

    Raises:
        ValueError: with these chunks, pairs would be missed.
    """
    if second is not None and len(first) > len(second):  # a code of the first is looked up in many buckets
        for i, j, apart in joined(second, first, radius, chunks, part):
            yield j, i, apart
        return
    chunks = chosen(first, second, radius) if chunks is None else chunks
    if not chunks:
        yield from _compared(first, second, radius, part)
        return
    if sum(chunk.flips + 1 for chunk in chunks) <= radius:
        raise ValueError(f"joined: got {len(chunks)} chunks, expected flips + 1 of more than {radius} bits in all")
    windows = [_window(chunks, number, 8 * first.shape[1]) for number in range(len(chunks))]
    both = list(zip(chunks, windows, strict=True))
    masks = np.array([[chunk.mask(first.shape[1]), _mask(bits)] for chunk, (bits, _) in both])
    limits = np.array([[chunk.flips, most] for chunk, (_, most) in both], np.int64)
    for number in range(part[0], len(chunks), part[1]):
        chunk = chunks[number]
        order, ours = _sorted(first, chunk)
        other_order, theirs = (order, None) if second is None else _sorted(second, chunk)
        window, earlier = (masks[number, 1], limits[number, 1]), (masks[:number], limits[:number])
        for rows, columns, apart in kernels.hamming_in_buckets(ours, theirs, chunk.patterns(), radius, window, earlier):
            i, j = order[rows], other_order[columns]
            yield (i, j, apart) if second is not None else (np.minimum(i, j), np.maximum(i, j), apart)


def _mask(bits: NDArray[np.bool_]) -> Codes:
    """Some bits of a code as a mask of it."""
    return np.packbits(bits)


def _window(chunks: Sequence[Chunk], number: int, size: int) -> tuple[NDArray[np.bool_], int]:
    """The window of a chunk: bits (size,) from its start on, over the last one to the first, and in how many of them a
    pair of the chunk may differ.

    Two codes within the radius differ in fewer bits than the sum of all chunks' flips + 1. So in the ring of the bits
    there is a chunk from whose start on the same holds of every piece that ends with a chunk or between two (Qin and
    Xiao 2018, "Pigeonring"): the one before which differing bits less that sum, counted on, are most for the last time.
    """
    credit = {chunk.start: (chunk.width, chunk.flips + 1) for chunk in chunks}
    start = chunks[number].start
    bits, reached, most, end = np.zeros(size, bool), 0, 0, min(8 * WINDOW_BYTES - start % 8, size)
    while reached < end:
        width, flips = credit.get((start + reached) % size, (1, 0))
        if reached + width > end:
            break
        bits[(start + np.arange(reached, reached + width)) % size] = True
        reached, most = reached + width, most + flips
    return bits, most - 1


def _compared(
    first: Codes, second: Codes | None, radius: int, part: tuple[int, int]
) -> Iterator[tuple[Indices, Indices, Distances]]:
    """Join by comparing all with all; a part has every so many-th row of the first."""
    for row, j, apart in pairs_between(first[part[0] :: part[1]], first if second is None else second, radius):
        i = part[0] + part[1] * row
        once = slice(None) if second is not None else i < j
        yield i[once], j[once], apart[once]


def _sorted(codes: Codes, chunk: Chunk) -> tuple[Indices, Buckets]:
    """The order of the codes by their bucket, and the buckets."""
    numbers = chunk.numbers(codes)
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=1 << chunk.width)
    return order, (codes[order], np.concatenate([[0], np.cumsum(counts)]))


def chosen(first: Codes, second: Codes | None, radius: int) -> list[Chunk]:
    """The cheapest chunks for a join, judged by a sample of its pairs; none if comparing all with all is cheaper."""
    rows, columns = len(first), len(first if second is None else second)
    pairs = rows * columns / (1 if second is not None else 2)
    if pairs < _SMALL or not 0 <= radius < 8 * first.shape[1]:
        return []
    bits = _differing(first, first if second is None else second, second is None)
    words = -(-first.shape[1] // 8)
    looked_at = next((n for n in range(1, words) if 32 * n - radius > 12 * n**0.5), words)
    compared = COMPARED_NS[min(looked_at, max(COMPARED_NS))] * max(looked_at / max(COMPARED_NS), 1)
    best, least = [], pairs * compared
    by_window = min(compared, COMPARED_NS[1])
    fewest = -(-8 * first.shape[1] // WIDEST)
    for count in range(fewest, max(fewest, min(radius + 1, 8 * first.shape[1] // 4)) + 1):
        chunks, cost = _cheapest(bits, count, radius, (rows, columns, pairs), by_window)
        if cost < least:
            best, least = chunks, cost
    return best


def _differing(first: Codes, second: Codes, is_same: bool) -> NDArray[np.uint8]:
    """Which bits differ (S, bits) in pairs drawn by chance."""
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, len(first), _SAMPLE), rng.integers(0, len(second), _SAMPLE)
    other = i != j if is_same else slice(None)
    return np.unpackbits(first[i[other]] ^ second[j[other]], axis=1)


def _cheapest(
    differing: NDArray[np.uint8], count: int, radius: int, sizes: tuple[int, int, float], compared: float
) -> tuple[list[Chunk], float]:
    """So many chunks, each with its flips, and the nanoseconds they take: the cheapest whose sum of t + 1 exceeds the
    radius."""
    bits = differing.shape[1]
    starts = np.arange(count + 1) * bits // count
    apart = np.add.reduceat(differing, starts[:-1], axis=1, dtype=np.uint8)
    best: list[tuple[float, list[Chunk]]] = [(0.0, []), *[(np.inf, [])] * (radius + 1)]
    for number, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        width = end - start
        within = np.bincount(apart[:, number], minlength=_MOST_FLIPS + 1).cumsum() / len(apart)
        extended = list(best)  # without this chunk
        for flips in range(min(_MOST_FLIPS, width) + 1):
            cost = _cost(width, flips, float(within[flips]), sizes, compared)
            for reached, (spent, chunks) in enumerate(best):
                to = min(reached + flips + 1, radius + 1)
                if spent + cost < extended[to][0]:
                    extended[to] = spent + cost, [*chunks, Chunk(start, width, flips)]
        best = extended
    return best[-1][1], best[-1][0]


def _cost(width: int, flips: int, share: float, sizes: tuple[int, int, float], compared: float) -> float:
    """Nanoseconds of a chunk. share: the share of pairs that are in near buckets."""
    rows, columns, pairs = sizes
    buckets = sum(comb(width, n) for n in range(flips + 1))
    share = max(share, buckets / 2**width)
    visits = rows * min(buckets, columns) * pairs / (rows * columns)
    return (rows + columns) * SORTED_NS + visits * BUCKET_NS + share * pairs * compared
