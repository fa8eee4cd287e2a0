"""Distances of binary codes, and searches among them, by our own kernels; native/README.md says how they work.

A search divides the codes among `cpu.threads()` threads, and each finds its own results. The library releases Python's
lock meanwhile.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dlcore.kernels.cpu import threads
from dlcore.kernels.interface import WIDEST, WINDOW_BYTES, Buckets, Codes, Distances, Masks, distance_type
from dlcore.kernels.native_library import library

Numbers = NDArray[np.uint64]
Given = TypeVar("Given")
Found = TypeVar("Found")
_POSITION_BITS = 40  # of what hamming_scan.h finds: the distance is above them
_MAX_BYTES = 512
_QUERIES = 64
_PAIRS = 1 << 16  # that one call hands over
_OVERREAD = 32  # codes that the kernels read behind the last one
_ENOUGH = 1 << 20  # distances that are worth another thread


def hamming(queries: Codes, codes: Codes) -> Distances:
    """Differing bits (Q, N) between queries (Q, B) and codes (N, B): see `reference.hamming`.

    Raises:
        ValueError: the code lengths differ.
    """
    if queries.shape[1:] != codes.shape[1:]:
        raise ValueError(
            f"hamming: got codes of {queries.shape[1:]} and {codes.shape[1:]} bytes, expected equal lengths"
        )
    if queries.shape[1] > WIDEST:
        parts = (hamming(queries[:, part], codes[:, part]) for part in (slice(WIDEST), slice(WIDEST, None)))
        return np.add(*parts, dtype=np.uint32)
    first, second = (np.ascontiguousarray(part, np.uint8) for part in (queries, codes))
    distances = np.empty((len(first), len(second)), np.uint16)
    library().dlcore_hamming(
        first.ctypes.data, second.ctypes.data, distances.ctypes.data, len(first), len(second), first.shape[1]
    )
    return distances


def hamming_top_k(queries: Codes, parts: Sequence[Codes], k: int) -> tuple[NDArray[np.int64], Distances]:
    """Indices and distances of the `k` nearest: see `reference.hamming_top_k`."""
    queries, parts = np.ascontiguousarray(queries), [np.ascontiguousarray(part) for part in parts]
    total = sum(map(len, parts))
    k = max(min(k, total), 0)
    best = np.empty((len(queries), k), np.uint64)
    shares = list(_shares(parts, _thread_count(len(queries), total)))
    for start in range(0, len(queries) if k else 0, _QUERIES):
        found = _side_by_side(partial(_top_k, queries[start : start + _QUERIES], k), shares)
        best[start : start + _QUERIES] = found[0] if len(found) == 1 else np.sort(np.hstack(found), axis=1)[:, :k]
    return _positions(best), _distances(best, queries)


def hamming_within(queries: Codes, codes: Codes, radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Distances]:
    """i, j and distance of all pairs within the radius: see `reference.hamming_within`."""
    queries, codes = np.ascontiguousarray(queries), np.ascontiguousarray(codes)
    shares = _shares([codes], _thread_count(len(queries), len(codes)))
    given = [share for each in shares for share in each]
    parts = [part for found in _side_by_side(partial(_within, queries, radius), given) for part in found]
    rows = np.concatenate([rows for rows, _ in parts]) if parts else np.empty(0, np.int64)
    found = np.concatenate([found for _, found in parts]) if parts else np.empty(0, np.uint64)
    order = np.argsort(rows, kind="stable")
    found = found[order]
    return rows[order], _positions(found), _distances(found, queries)


class _Buckets(ctypes.Structure):
    """`Buckets` of hamming_scan.h."""

    _fields_ = (
        ("planes", ctypes.c_void_p), ("window", ctypes.c_void_p),
        ("stride", ctypes.c_int64), ("starts", ctypes.c_void_p),
    )  # fmt: skip


class _BucketJoin(ctypes.Structure):
    """`BucketJoin` of hamming_scan.h."""

    _fields_ = (
        ("first", _Buckets), ("second", _Buckets),
        *(
            (name, ctypes.c_int64)
            for name in ("words", "buckets", "flip_count", "earlier_count", "mask_count", "radius", "within", "is_same")
        ),
        *((name, ctypes.c_void_p) for name in ("flips", "masks", "limits")),
    )  # fmt: skip


def hamming_in_buckets(
    first: Buckets, second: Buckets | None, flips: NDArray[np.int64], radius: int, window: Masks, earlier: Masks
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Distances]]:
    """Pairs of codes in buckets that differ by one of the flips: see `reference.hamming_in_buckets`. One thread."""
    given = [first] if second is None else [first, second]
    planes = [_planes(codes, _OVERREAD) for codes, _ in given]
    narrow = [_window(codes, window[0]) for codes, _ in given]
    starts = [np.ascontiguousarray(each, np.int64) for _, each in given]
    flips = np.ascontiguousarray(flips, np.int64)
    masks = _planes(earlier[0].reshape(-1, first[0].shape[1])).T.copy()
    limits = np.ascontiguousarray(earlier[1], np.int64)
    sides = [
        _Buckets(p.ctypes.data, w.ctypes.data, p.shape[1], s.ctypes.data)
        for p, w, s in zip(planes, narrow, starts, strict=True)
    ]
    counts = len(planes[0]), len(starts[0]) - 1, len(flips), *limits.shape
    sizes = *counts, radius, int(window[1]), second is None
    join = _BucketJoin(sides[0], sides[-1], *sizes, flips.ctypes.data, masks.ctypes.data, limits.ctypes.data)
    rows, found = np.empty(_PAIRS, np.int64), np.empty(_PAIRS, np.uint64)
    step = np.array([0, 0, -1, -1], np.int64)
    while step[0] >= 0:
        arrays = rows.ctypes.data, found.ctypes.data, _PAIRS, step.ctypes.data
        count = library().dlcore_hamming_in_buckets(ctypes.byref(join), *arrays)
        yield rows[:count].copy(), _positions(found[:count]), _distances(found[:count], first[0])


def _planes(codes: Codes, more: int = 0) -> Numbers:
    """Codes (N, B) as words, word by word: (ceil(B / 8), N + more)."""
    count, size = codes.shape
    planes = np.zeros((-(-size // 8), count + more), np.uint64)
    for word, plane in enumerate(planes):
        part = codes[:, 8 * word : 8 * word + 8]
        plane[:count].view(np.uint8).reshape(count, 8)[:, : part.shape[1]] = part
    return planes


def _window(codes: Codes, mask: Codes) -> Numbers:
    """Of each code the bits of a mask, in at most WINDOW_BYTES bytes, as a word: (N + _OVERREAD,)."""
    words = np.zeros((len(codes) + _OVERREAD, WINDOW_BYTES), np.uint8)
    for place, byte in enumerate(np.flatnonzero(mask)):
        np.bitwise_and(codes[:, byte], mask[byte], out=words[: len(codes), place])
    return words.view(np.uint64)[:, 0]


def _suits(queries: Codes, codes: Codes, _: int) -> bool:
    return queries.shape[1:] == codes.shape[1:] and 0 < codes.shape[1] <= _MAX_BYTES


def _suits_buckets(
    first: Buckets, second: Buckets | None, flips: NDArray[np.int64], radius: int, window: Masks, earlier: Masks
) -> bool:
    return 0 < first[0].shape[1] <= _MAX_BYTES and bool(np.count_nonzero(window[0]) <= WINDOW_BYTES)


SUITS = {
    "hamming_top_k": lambda queries, parts, k: (
        0 < queries.shape[1] <= _MAX_BYTES and all(_suits(queries, part, k) for part in parts)
    ),
    "hamming_within": _suits,
    "hamming_in_buckets": _suits_buckets,
}
"""Codes that are too long for these kernels are left to `reference`, and windows that are too wide."""


Share = tuple[int, Codes]
"""Codes that lie one after another, and the position of the first."""


def _thread_count(queries: int, codes: int) -> int:
    return min(threads(), max(queries * codes // _ENOUGH, 1))


def _shares(parts: Sequence[Codes], count: int) -> Iterator[list[Share]]:
    """The codes of all parts, divided among `count` threads."""
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    size = max(-(-starts[-1] // count), 1)
    for first in range(0, starts[-1], size):
        cuts = [(max(first - start, 0), first + size - start) for start in starts[:-1]]
        yield [
            (start + begin, part[begin:end])
            for start, part, (begin, end) in zip(starts, parts, cuts, strict=False)
            if begin < len(part) and end > 0
        ]


def _side_by_side(find: Callable[[Given], Found], shares: Sequence[Given]) -> list[Found]:
    """What `find` finds in each share, in threads of their own."""
    if len(shares) <= 1:
        return [find(share) for share in shares]
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(find, shares))


class _Part(ctypes.Structure):
    """`Part` of hamming_scan.h."""

    _fields_ = (("data", ctypes.c_void_p), ("count", ctypes.c_int64), ("first", ctypes.c_int64))


def _top_k(queries: Codes, k: int, share: Sequence[Share]) -> Numbers:
    """(Q, min(k, N)): the best numbers of each query, ascending."""
    k = min(k, sum(len(codes) for _, codes in share))
    best = np.empty((len(queries), k), np.uint64)
    scratch = np.empty((len(queries), library().dlcore_hamming_scratch(k)), np.uint64)
    parts = (_Part * len(share))(*(_Part(codes.ctypes.data, len(codes), first) for first, codes in share))
    arrays = best.ctypes.data, scratch.ctypes.data
    library().dlcore_hamming_top_k(queries.ctypes.data, *queries.shape, parts, len(parts), k, *arrays)
    return best


def _within(queries: Codes, radius: int, share: Share) -> list[tuple[NDArray[np.int64], Numbers]]:
    """Rows of the queries and numbers of the codes of all pairs, in order of the codes for each row."""
    first, codes = share
    parts = []
    rows, found = np.empty(_PAIRS, np.int64), np.empty(_PAIRS, np.uint64)
    step = ctypes.c_int64(0 if len(queries) else -1)
    while step.value >= 0:
        arrays = rows.ctypes.data, found.ctypes.data, _PAIRS, ctypes.byref(step)
        count = library().dlcore_hamming_within(*_given(queries, codes), radius, *arrays)
        parts.append((rows[:count].copy(), found[:count] + np.uint64(first)))
    return parts


def _given(queries: Codes, codes: Codes) -> tuple[int, int, int, int, int]:
    return queries.ctypes.data, len(queries), codes.ctypes.data, len(codes), codes.shape[1]


def _positions(found: Numbers) -> NDArray[np.int64]:
    return (found & np.uint64((1 << _POSITION_BITS) - 1)).astype(np.int64)


def _distances(found: Numbers, codes: Codes) -> Distances:
    return (found >> np.uint64(_POSITION_BITS)).astype(distance_type(codes.shape[1]))
