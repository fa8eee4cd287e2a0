"""Binary codes packed eight bits to a byte: packing, exact Hamming joins and nearest neighbours.

A set of codes is (N, B) uint8, B bytes per code; the first bit of a code is the highest of its first byte. Every
answer is exact: a join compares all pairs, block by block, so that memory stays bounded whatever N is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.kernels import interface

Codes = interface.Codes
Distances = interface.Distances
Indices = NDArray[np.int64]
BLOCK = 2048


def pack(values: NDArray[np.floating], threshold: float | NDArray[np.floating] = 0.0) -> Codes:
    """Codes of `values` (N, K) -> (N, ceil(K / 8)): a bit is set above the threshold, which is a scalar or (K,).

    >>> pack(np.array([[1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0]]))
    array([[161]], dtype=uint8)
    """
    if values.ndim != 2:
        raise ValueError(f"pack: got an array of shape {values.shape}, expected (N, K), a row of values for each code")
    return np.packbits(values > threshold, axis=1)


def unpack(codes: Codes, bits: int | None = None) -> NDArray[np.uint8]:
    """The bits (0 or 1) of `codes` (N, B) -> (N, bits); by default all 8 B."""
    return np.unpackbits(_checked(codes), axis=1, count=bits)


def distances(queries: Codes, codes: Codes) -> Distances:
    """Hamming distances of every query (Q, B) to every code (N, B) -> (Q, N) uint16, in bits; uint32 when B is above
    8191.

    Raises:
        ValueError: the two have codes of different length.
    """
    return kernels.hamming(*_comparable(queries, codes))


def pairs_within(codes: Codes, distance: int, block: int = BLOCK) -> tuple[Indices, Indices, Distances]:
    """All pairs i < j of `codes` (N, B) at most `distance` bits apart -> (i, j, distance), in order of i, then j.

    Each block of codes is compared with itself and those after it, N (N - 1) / 2 pairs in all.
    """
    found = [kernels.hamming_within(codes[:0], _checked(codes), distance)]
    for start in range(0, len(codes), block):
        i, j, apart = kernels.hamming_within(codes[start : start + block], codes[start:], distance)
        once = i < j
        found.append((i[once] + start, j[once] + start, apart[once]))
    i, j, apart = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, apart


def pairs_between(
    first: Codes, second: Codes, distance: int, rows: int = 256, columns: int = 1 << 16
) -> Iterator[tuple[Indices, Indices, Distances]]:
    """Pairs of a code i of `first` (M, B) and a code j of `second` (N, B) at most `distance` bits apart, block by
    block.

    Gives (i, j, distance), in order of i, then j, for one block of `rows` by `columns` codes after another that has
    any: however many pairs there are, only few are held at once. `second` may be mapped from a file; it is read once
    for each `rows`.

    Raises:
        ValueError: the two have codes of different length.
    """
    first, second = _comparable(first, second)
    for top in range(0, len(first), rows):
        for left in range(0, len(second), columns):
            part = kernels.hamming_within(first[top : top + rows], second[left : left + columns], distance)
            if len(part[0]):
                yield part[0] + top, part[1] + left, part[2]


def nearest(queries: Codes, parts: Sequence[Codes], k: int) -> tuple[Indices, Distances]:
    """The `k` codes of all `parts`, N in all, that are nearest to each query, ties in order of the codes.

    Gives indices, counted through the parts, and distances, both (Q, min(k, N)).

    Raises:
        ValueError: queries and codes are of different length.
    """
    return kernels.hamming_top_k(_checked(queries), [_comparable(queries, part)[1] for part in parts], k)


def _comparable(queries: Codes, codes: Codes) -> tuple[Codes, Codes]:
    queries, codes = _checked(queries), _checked(codes)
    if queries.shape[1] != codes.shape[1]:
        raise ValueError(
            f"distances: got queries of {queries.shape[1]} bytes and codes of {codes.shape[1]}; "
            "compare codes of one model version only"
        )
    return queries, codes


def _checked(codes: Codes) -> Codes:
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise ValueError(f"got codes of shape {codes.shape} and type {codes.dtype}, expected (N, bytes) of uint8")
    return codes
