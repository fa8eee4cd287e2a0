"""The row keys of the image table."""

import zlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs import row_key

DAYS = st.dates(date(1970, 1, 1), date(2200, 1, 1))


@given(DAYS, st.text(min_size=1, max_size=20), st.integers(1, 40))
def test_a_row_lies_in_one_range_of_its_day(day: date, key: str, salt_buckets: int) -> None:
    row = row_key.row_key(day, key, salt_buckets)
    holding = [start for start, stop in row_key.day_ranges(day, salt_buckets) if start <= row < stop]
    assert len(holding) == 1
    assert row_key.split_row_key(row) == (day, key)
    assert row > row_key.LAYOUT_ROW


@given(DAYS, DAYS, st.text(min_size=1, max_size=20))
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
