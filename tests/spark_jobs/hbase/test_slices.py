"""How a table is cut: each row in one part, whatever the list of its regions holds."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import happybase  # noqa: F401  # makes Hbase_thrift
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.hbase.row_key import ROW_BYTES, day_ranges
from spark_jobs.hbase.scan import HBaseError
from spark_jobs.hbase.slices import KeyRange, between, check_cover, overlaps, regions_of

KEYS = st.binary(max_size=4)


def location(start: bytes, stop: bytes, number: int = 1, replica: int = 0, host: bytes = b"first"):
    from Hbase_thrift import TRegionInfo

    name = b"t,%s,%d%s.%032x." % (start, number, b"_%04d" % replica if replica else b"", number)
    return TRegionInfo(startKey=start, endKey=stop, id=number, name=name, version=1, serverName=host, port=1)


def test_a_region_with_replicas_is_read_once_from_its_primary() -> None:
    replicated = [
        location(start, stop, replica=replica, host=b"primary" if replica == 0 else b"replica")
        for start, stop in ((b"", b"2"), (b"2", b""))
        for replica in (2, 0, 1)
    ]
    regions = regions_of(replicated)
    assert [(region.rows, region.host) for region in regions] == [((b"", b"2"), "primary"), ((b"2", b""), "primary")]


def test_a_region_that_is_split_or_merged_meanwhile() -> None:
    split = [
        location(b"", b"m", 1),
        location(b"", b"f", 2, host=b"new"),
        location(b"f", b"m", 2),
        location(b"m", b"", 1),
    ]
    assert [(region.rows, region.host) for region in regions_of(split)] == [
        ((b"", b"f"), "new"),
        ((b"f", b"m"), "first"),
        ((b"m", b""), "first"),
    ]
    merged = [location(b"", b"f", 1), location(b"f", b"m", 1), location(b"", b"m", 2), location(b"m", b"", 1)]
    assert [region.rows for region in regions_of(merged)] == [(b"", b"f"), (b"f", b"m"), (b"m", b"")]


@given(st.lists(st.tuples(KEYS, KEYS, st.integers(0, 2), st.integers(0, 3)), max_size=8), st.integers(1, 3))
def test_every_wanted_row_is_in_one_part_whatever_is_listed(
    listed: list[tuple[bytes, bytes, int, int]], salt_buckets: int
) -> None:
    regions = regions_of([location(start, stop, number, replica) for start, stop, replica, number in listed])
    for wanted in ([(b"", b"")], day_ranges(date(2026, 11, 2), salt_buckets)):
        parts = [part for region in regions for part in overlaps(region.rows, wanted)]
        check_cover(wanted, parts)
        for row in (b"0", b"0/20261102/", b"2/20261102/x", *(start for start, *_ in listed), b"\xff\xff"):
            assert holding(parts, row) == holding(wanted, row)


def holding(ranges: list[KeyRange], row: bytes) -> int:
    return sum(start <= row and (not stop or row < stop) for start, stop in ranges)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(b"a", b"c")],
        [(b"a", b"c"), (b"d", b"e")],
        [(b"a", b"d"), (b"c", b"e")],
        [(b"a", b"e"), (b"a", b"e")],
        [(b"a", b"e"), (b"c", b"d")],
        [(b"a", b"")],
    ],
)
def test_a_gap_or_an_overlap_is_an_error(parts: list[KeyRange]) -> None:
    check_cover([(b"a", b"e")], [(b"c", b"e"), (b"a", b"c")])
    with pytest.raises(HBaseError, match="got slices of the rows"):
        check_cover([(b"a", b"e")], parts)


@given(
    st.lists(st.binary(max_size=4), max_size=6),
    st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=4)), max_size=4),
)
def test_overlaps_cover_each_wanted_row_once(borders: list[bytes], wanted: list[tuple[bytes, bytes]]) -> None:
    edges = [b"", *sorted({border for border in borders if border}), b""]
    wanted = [(start, stop) for start, stop in wanted if not stop or start < stop]
    parts = [part for region in pairwise(edges) for part in overlaps(region, wanted)]
    for row in (b"\x00", b"m", b"mm", b"\xff\xff", *borders, *(border + b"\x00" for border in borders)):
        assert holding(parts, row) == holding(wanted, row)


@given(st.binary(max_size=12), st.binary(max_size=12), st.integers(2, 9))
def test_borders_between_keys_rise(one: bytes, other: bytes, slices: int) -> None:
    first, last = sorted([one, other])
    borders = between(first, last, slices)
    assert len(borders) < slices
    assert all(low < high for low, high in pairwise([first, *borders]))
    assert all(border <= last for border in borders)


def test_no_border_is_longer_than_a_row_key() -> None:
    shared = b"k" * (ROW_BYTES - 2)
    borders = between(shared + b"\x01", shared + b"\xf0\x01", 8)
    assert borders
    assert max(map(len, borders)) <= ROW_BYTES
