"""Many byte strings in two arrays; looking one up needs no scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ByteStrings:
    """N byte strings of any length and content, one after another in `data` (T,) uint8; `ends` (N,) int64 says where
    each ends."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, values: Iterable[bytes]) -> ByteStrings:
        """Byte strings from `values`, in order."""
        strings = [bytes(value) for value in values]
        ends = np.cumsum([len(string) for string in strings], dtype=np.int64)
        return cls(np.frombuffer(b"".join(strings), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, position: int) -> bytes:
        """The string at a position from 0."""
        start = int(self.ends[position - 1]) if position else 0
        return bytes(self.data[start : int(self.ends[position])])

    def __iter__(self) -> Iterator[bytes]:
        data, start = self.data.tobytes(), 0
        for end in self.ends.tolist():
            yield data[start:end]
            start = end

    def order(self) -> Indices:
        """Positions in ascending order of the strings, equal ones in order of position."""
        strings = list(self)
        return np.array(sorted(range(len(strings)), key=strings.__getitem__), np.int64)

    def find(self, wanted: bytes, order: NDArray[np.integer] | None = None) -> Indices:
        """Positions of the strings equal to `wanted`, in order, by binary search: it reads some 20 strings of a
        million.

        order: positions in ascending order of the strings, as `order()` gives them; by default the strings are sorted
            already.
        """
        first = self._rank(wanted, order, is_after=False)
        last = self._rank(wanted, order, is_after=True)
        found = np.arange(first, last) if order is None else np.sort(order[first:last])
        return found.astype(np.int64)

    def _rank(self, wanted: bytes, order: NDArray[np.integer] | None, is_after: bool) -> int:
        """How many strings are smaller than `wanted`, or (`is_after`) not larger."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            string = self[middle if order is None else int(order[middle])]
            if string < wanted or (is_after and string == wanted):
                low = middle + 1
            else:
                high = middle
        return low


def joined(parts: Iterable[ByteStrings]) -> ByteStrings:
    """The strings of one after those of the other."""
    given = list(parts)
    before = np.cumsum([0, *(len(part.data) for part in given)])[:-1]
    ends = [part.ends + start for part, start in zip(given, before, strict=True)]
    data = [part.data for part in given]
    return ByteStrings(np.concatenate([np.empty(0, np.uint8), *data]), np.concatenate([np.empty(0, np.int64), *ends]))
