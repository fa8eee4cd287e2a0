"""The row keys of the image table."""

from __future__ import annotations

import zlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.hbase import row_key

DAYS = st.dates(date(1970, 1, 1), date(2200, 1, 1))
ORDINARY = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
BYTES = st.binary(min_size=1, max_size=20)
ESCAPES = st.lists(st.sampled_from([b"\\", b"x", b"\\x41", b"4", b"A", b"\xc3", b"\xbc", b"\x00", b"/", b"\xff"])).map(
    b"".join
)


@given(DAYS, ORDINARY.filter(lambda key: "\\x" not in key), st.integers(1, 40))
def test_ordinary_keys_stand_for_themselves(day: date, key: str, salt_buckets: int) -> None:
    head, _, number = key.rpartition("/")
    sku = head if number.isdecimal() and "/" in key else key
    salt = str(zlib.crc32(sku.encode()) % salt_buckets).zfill(len(str(salt_buckets - 1)))
    row = row_key.row_key(day, key, salt_buckets)
    assert row == f"{salt}/{day:%Y%m%d}/{key}".encode()
    assert row_key.split_row_key(row) == (day, key)


@given(BYTES | ESCAPES, BYTES | ESCAPES)
def test_no_two_rows_share_a_key(one: bytes, other: bytes) -> None:
    texts = [row_key.key_text(row) for row in (one, other)]
    assert [row_key.key_bytes(text) for text in texts] == [one, other]
    assert (texts[0] == texts[1]) == (one == other)
    assert not any(ord(letter) < 32 for text in texts for letter in text)


@given(DAYS, BYTES | ESCAPES.filter(bool), st.integers(1, 12))
def test_a_row_that_is_not_ours_has_a_key_that_no_other_row_has(day: date, key: bytes, salt_buckets: int) -> None:
    places = [row_key.day_prefix(salt, day) + key for salt in row_key.salts(salt_buckets)]
    owned = [row_key.own_key(row, salt_buckets) for row in places]
    assert [found for found in owned if found is not None] == [row_key.key_text(key)]  # the right salt alone
    foreign = [row_key.foreign_key(row) for row in (*places, row_key.day_prefix(b"0", day))]
    assert len(set(foreign)) == len(foreign)
    assert all(row_key.key_text(row_key.key_bytes(name)) != name for name in foreign)  # no row has it as its key


@pytest.mark.parametrize(
    "row", [b"0/20261102/" + b"k" * 32_756, b"a\x00", b"\xff" * 32_767, b"a" * 32_766 + b"\xff", b""]
)
def test_a_scan_goes_on_behind_a_row(row: bytes) -> None:
    after = row_key.row_after(row)
    assert len(after) <= 32_767
    if after:
        assert row < after
        assert len(row) == 32_767 or after == row + b"\x00"
        assert row + b"\x00" <= after  # HBase has no key between: it would be longer than any
    else:
        assert set(row) == {0xFF}


def test_a_key_that_hbase_does_not_take_is_refused() -> None:
    day = date(2026, 11, 2)
    longest = "k" * (32_767 - len("0/20261102/"))
    assert len(row_key.row_key(day, longest, 1)) == 32_767
    with pytest.raises(ValueError, match="got a row key of 32768 bytes"):
        row_key.row_key(day, longest + "k", 1)


@given(DAYS, BYTES.map(row_key.key_text), st.integers(1, 40))
def test_a_row_lies_in_one_range_of_its_day(day: date, key: str, salt_buckets: int) -> None:
    row = row_key.row_key(day, key, salt_buckets)
    holding = [start for start, stop in row_key.day_ranges(day, salt_buckets) if start <= row < stop]
    assert len(holding) == 1
    assert row_key.split_row_key(row) == (day, key)
    assert row > row_key.LAYOUT_ROW


@given(DAYS, DAYS, BYTES.map(row_key.key_text))
def test_a_row_lies_in_no_range_of_another_day(day: date, other: date, key: str) -> None:
    row = row_key.row_key(day, key, 4)
    assert any(start <= row < stop for start, stop in row_key.day_ranges(other, 4)) == (day == other)


def test_all_images_of_a_product_share_a_salt() -> None:
    salts = {row_key.row_key(date(2026, 11, 2), f"sku-7/{number}", 4)[:1] for number in range(50)}
    assert salts == {str(zlib.crc32(b"sku-7") % 4).encode()}


def test_rows_of_other_layouts_are_refused() -> None:
    for row in (b"", b"plain", b"0/20261102", b"0/20261102/", b"0/day/key"):
        with pytest.raises(ValueError, match=r"expected <salt>|does not match"):
            row_key.split_row_key(row)
    with pytest.raises(ValueError, match="empty key"):
        row_key.row_key(date(2026, 11, 2), "", 4)
    with pytest.raises(ValueError, match="salt_buckets: got 0"):
        row_key.salts(0)
