"""Cut a table into the parts that tasks read, at the borders of its regions and at keys between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from spark_jobs.hbase.row_key import ROW_BYTES
from spark_jobs.hbase.scan import HBaseError

KeyRange = tuple[bytes, bytes]
"""First row and the row after the last; empty bytes mean the table's start or end."""


@dataclass(frozen=True)
class Region:
    """The rows of one region, and the host of the server that has them; "" if it is unknown."""

    rows: KeyRange
    host: str


def regions_of(locations: Iterable[Any]) -> list[Region]:
    """The regions of a table; each row is in exactly one.

    locations: `TRegionInfo` of `getTableRegions`. It has an entry for each replica of a region and, while a region is
    split or merged, for the old one beside the new. Only distinct first rows count; of several entries, the newest
    region's primary replica.
    """
    by_start: dict[bytes, str] = {}
    for location in sorted(
        locations, key=lambda location: (-location.id, location.name)
    ):  # `..._0001.` of a replica is later
        by_start.setdefault(location.startKey, location.serverName.decode())
    starts = sorted(by_start)
    hosts = [by_start[start] for start in starts] or [""]
    borders = [b"", *starts[1:], b""]
    return [Region(rows, host) for rows, host in zip(pairwise(borders), hosts, strict=True)]


def overlaps(region: KeyRange, wanted: Sequence[KeyRange]) -> list[KeyRange]:
    """The parts of the wanted ranges that lie in a region."""
    parts = [(max(region[0], start), _lesser(region[1], stop)) for start, stop in wanted]
    return [(start, stop) for start, stop in parts if not stop or start < stop]


def _lesser(first: bytes, second: bytes) -> bytes:
    return min(first, second) if first and second else first or second


def check_cover(wanted: Sequence[KeyRange], parts: Sequence[KeyRange]) -> None:
    """Check that the parts together are the wanted ranges, without gap or overlap.

    Raises:
        HBaseError: they are not.
    """
    if (found := _joined(parts)) != (expected := _joined(wanted)):
        raise HBaseError(f"got slices of the rows {found}, expected {expected}; report this with the table's regions")


def _joined(ranges: Iterable[KeyRange]) -> list[KeyRange]:
    """Ranges in order; a range that begins where the one before ends is joined with it."""
    joined: list[KeyRange] = []
    for start, stop in sorted(ranges):
        if joined and start and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def between(first: bytes, last: bytes, slices: int) -> list[bytes]:
    """Up to `slices - 1` rising keys that divide the keys from `first` to `last` about evenly, by their next 8 bytes.

    >>> between(b"sku-0000", b"sku-8000", 2)
    [b'sku-4000']
    """
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    low, high = (int.from_bytes(key[shared : shared + 8].ljust(8, b"\x00"), "big") for key in (first, last))
    numbers = sorted({low + (high - low) * part // slices for part in range(1, slices)} - {low})
    keys = [(first[:shared] + number.to_bytes(8, "big").rstrip(b"\x00"))[:ROW_BYTES] for number in numbers]
    return sorted({key for key in keys if first < key <= last})
