"""The row keys of the image table: `<salt>/<yyyymmdd>/<key>`, where key is `<sku>/<n>`.

The salt spreads a day over the region servers, and is a stable hash of the sku; one day is then one short range of rows
per salt. How many salts there are is kept in the table itself, in the row `LAYOUT_ROW`, which sorts before all others.
Standard library only.

>>> row_key(date(2026, 11, 2), "sku-7/0", 4)
b'3/20261102/sku-7/0'
>>> split_row_key(b'3/20261102/sku-7/0')
(datetime.date(2026, 11, 2), 'sku-7/0')
"""

from __future__ import annotations

import zlib
from datetime import date, datetime

LAYOUT_ROW = b"!layout"
LAYOUT_COLUMN = b"m:salt_buckets"


def salt_of(sku: str, salt_buckets: int) -> bytes:
    """CRC-32 of the sku modulo `salt_buckets`, in decimal digits of one width."""
    return salts(salt_buckets)[zlib.crc32(sku.encode()) % salt_buckets]


def salts(salt_buckets: int) -> list[bytes]:
    """Every salt, in the order of the rows; ValueError when there are none.

    >>> salts(12)[:3]
    [b'00', b'01', b'02']
    """
    if salt_buckets < 1:
        raise ValueError(f"salt_buckets: got {salt_buckets}, expected at least 1")
    width = len(str(salt_buckets - 1))
    return [b"%0*d" % (width, salt) for salt in range(salt_buckets)]


def sku_of(key: str) -> str:
    """The part of a key that names the product: all before a last `/<number>`, or all of it.

    >>> sku_of("sku-7/0"), sku_of("shoes/red")
    ('sku-7', 'shoes/red')
    """
    sku, slash, number = key.rpartition("/")
    return sku if slash and number.isdecimal() else key


def row_key(day: date, key: str, salt_buckets: int) -> bytes:
    """The row of one image; ValueError for an empty key."""
    if not key:
        raise ValueError("got an empty key, expected for example 'sku-7/0'")
    return day_prefix(salt_of(sku_of(key), salt_buckets), day) + key.encode()


def day_prefix(salt: bytes, day: date) -> bytes:
    """What all rows of a day and salt begin with."""
    return salt + day.strftime("/%Y%m%d/").encode()


def day_ranges(day: date, salt_buckets: int) -> list[tuple[bytes, bytes]]:
    """The (first, one after the last) row keys of a day, one range per salt.

    >>> day_ranges(date(2026, 11, 2), 1)
    [(b'0/20261102/', b'0/202611020')]
    """
    prefixes = (day_prefix(salt, day) for salt in salts(salt_buckets))
    return [(prefix, prefix[:-1] + bytes([prefix[-1] + 1])) for prefix in prefixes]


def split_row_key(row: bytes) -> tuple[date, str]:
    """The day and the key of a row; ValueError when it is not of this layout."""
    parts = row.split(b"/", 2)
    if len(parts) != 3 or not parts[2]:
        raise ValueError(f"got row {row!r}, expected <salt>/<yyyymmdd>/<key>")
    return datetime.strptime(parts[1].decode(), "%Y%m%d").date(), text_of(parts[2])


def text_of(cell: bytes) -> str:
    """Bytes of a key or a metadata cell as text: UTF-8, other bytes as \\xNN."""
    return cell.decode("utf-8", "backslashreplace")
