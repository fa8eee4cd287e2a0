"""Binary codes packed eight bits to a byte: packing, exact Hamming joins and nearest neighbours.

A set of codes is (N, B) uint8, B bytes a code, the first bit of a code being the highest of its first byte. Every
answer is exact: a join compares all pairs, block by block, so that memory stays bounded whatever N is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels

Codes = NDArray[np.uint8]
Indices = NDArray[np.int64]
BLOCK = 2048


def pack(values: NDArray[np.floating], threshold: float | NDArray[np.floating] = 0.0) -> Codes:
    """Codes of `values` (N, K): a bit is set above the threshold, a scalar or (K,) -> (N, ceil(K / 8)).

    >>> pack(np.array([[1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0]]))
    array([[161]], dtype=uint8)
    """
    if values.ndim != 2:
        raise ValueError(f"pack: got an array of shape {values.shape}, expected (N, K), a row of values for each code")
    return np.packbits(values > threshold, axis=1)


def unpack(codes: Codes, bits: int | None = None) -> NDArray[np.uint8]:
    """Bits 0 and 1 of `codes` (N, B) -> (N, bits); all 8 B of them by default."""
    return np.unpackbits(_checked(codes), axis=1, count=bits)


def distances(queries: Codes, codes: Codes) -> NDArray[np.uint16]:
    """Hamming distances of every query (Q, B) to every code (N, B) -> (Q, N), in bits.

    Raises ValueError when the two have codes of different length.
    """
    queries, codes = _checked(queries), _checked(codes)
    if queries.shape[1] != codes.shape[1]:
        raise ValueError(
            f"distances: got queries of {queries.shape[1]} bytes and codes of {codes.shape[1]}; "
            "compare codes of one model version only"
        )
    apart: NDArray[np.uint16] = kernels.hamming(queries, codes)
    return apart


def pairs_within(codes: Codes, distance: int, block: int = BLOCK) -> tuple[Indices, Indices, NDArray[np.uint16]]:
    """All pairs i < j of `codes` (N, B) at most `distance` bits apart -> (i, j, distance), in order of i, then j.

    Compares N (N - 1) / 2 pairs in blocks of `block` rows and columns.
    """
    starts = range(0, len(codes), block)
    found = [_near(codes, left, right, block, distance) for left in starts for right in starts if left <= right]
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16)
    i, j, apart = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], apart[order]


def nearest(queries: Codes, codes: Codes, k: int, block: int = 64) -> tuple[Indices, NDArray[np.uint16]]:
    """The `k` nearest codes of each query, ties in order of the codes -> indices and distances, both (Q, min(k, N))."""
    k = min(k, len(codes))
    indices = np.empty((len(queries), k), np.int64)
    found = np.empty((len(queries), k), np.uint16)
    for start in range(0, len(queries), block):
        apart = distances(queries[start : start + block], codes)
        order = np.argsort(apart, axis=1, kind="stable")[:, :k]
        indices[start : start + block] = order
        found[start : start + block] = np.take_along_axis(apart, order, axis=1)
    return indices, found


def _near(
    codes: Codes, left: int, right: int, block: int, distance: int
) -> tuple[Indices, Indices, NDArray[np.uint16]]:
    """Pairs i < j within `distance`, i in the block that starts at `left`, j in the one at `right`."""
    apart = distances(codes[left : left + block], codes[right : right + block])
    rows, columns = np.nonzero(apart <= distance)
    apart = apart[rows, columns]
    i, j = rows.astype(np.int64) + left, columns.astype(np.int64) + right
    once = i < j
    return i[once], j[once], apart[once]


def _checked(codes: Codes) -> Codes:
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise ValueError(f"got codes of shape {codes.shape} and type {codes.dtype}, expected (N, bytes) of uint8")
    return codes
