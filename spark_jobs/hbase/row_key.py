"""The row keys of the image table: `<salt>/<yyyymmdd>/<key>`, where key is `<sku>/<n>`.

The salt spreads a day over the region servers, and is a stable hash of the sku; one day is then one short range of rows
per salt. How many salts there are is kept in the table itself, in the row `LAYOUT_ROW`, which sorts before all others.
Standard library only.

HBase's keys are bytes, those of the datasets are text: UTF-8 as it is, and `\\xNN` for each byte that is not UTF-8, for
control characters, and for a backslash that would look like such an escape. Two rows never share a key.

>>> row_key(date(2026, 11, 2), "sku-7/0", 4)
b'3/20261102/sku-7/0'
>>> split_row_key(b'3/20261102/sku-7/0')
(datetime.date(2026, 11, 2), 'sku-7/0')
"""

from __future__ import annotations

import re
import zlib
from datetime import date, datetime

LAYOUT_ROW = b"!layout"
LAYOUT_COLUMN = b"m:salt_buckets"
ROW_BYTES = 32_767
"""The longest row key that HBase accepts (HConstants.MAX_ROW_LENGTH)."""
KEY_BYTES = 32_700
"""The longest key of an image, in bytes: it leaves room for any salt and the day."""
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]|\\(?=x[0-9a-f]{2})")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def salt_of(sku: str, salt_buckets: int) -> bytes:
    """CRC-32 of the sku's bytes modulo `salt_buckets`, in decimal digits of one width."""
    return salts(salt_buckets)[zlib.crc32(key_bytes(sku)) % salt_buckets]


def salts(salt_buckets: int) -> list[bytes]:
    """Every salt, in the order of the rows; ValueError if there are none.

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
    """The row of one image.

    Raises:
        ValueError: the key is empty, or longer than HBase takes.
    """
    if not key:
        raise ValueError("got an empty key, expected for example 'sku-7/0'")
    row = day_prefix(salt_of(sku_of(key), salt_buckets), day) + key_bytes(key)
    if len(row) > ROW_BYTES:
        raise ValueError(f"got a row key of {len(row)} bytes ({key[:40]}...), expected at most {ROW_BYTES}")
    return row


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
    """The day and the key of a row; ValueError if the row has another layout."""
    parts = row.split(b"/", 2)
    if len(parts) != 3 or not parts[2]:
        raise ValueError(f"got row {row!r}, expected <salt>/<yyyymmdd>/<key>")
    return datetime.strptime(parts[1].decode(), "%Y%m%d").date(), key_text(parts[2])


def own_key(row: bytes, salt_buckets: int) -> str | None:
    """The key of a row whose row key is the one the loader would give it; None for any other row.

    >>> own_key(b'3/20261102/sku-7/0', 4), own_key(b'0/20261102/sku-7/0', 4), own_key(b'0/20261102/', 4)
    ('sku-7/0', None, None)
    """
    try:
        day, key = split_row_key(row)
        return key if row_key(day, key, salt_buckets) == row else None
    except ValueError:
        return None


def foreign_key(row: bytes) -> str:
    """A key for a row of another layout: the whole row key, with an escape where no other key has one.

    >>> foreign_key(b'0/20261102/')
    '0\\\\x2f20261102/'
    """
    return key_text(row).replace("/", r"\x2f", 1)


def row_after(row: bytes) -> bytes:
    """The smallest row key behind a row, where a scan continues; empty if there is none.

    >>> row_after(b'a'), len(row_after(b'a' * ROW_BYTES))
    (b'a\\x00', 32767)
    """
    if len(row) < ROW_BYTES:
        return row + b"\x00"
    shorter = row.rstrip(b"\xff")
    return shorter[:-1] + bytes([shorter[-1] + 1]) if shorter else b""


def key_text(key: bytes) -> str:
    """Bytes of a row key as text, in the form of the datasets (see the module).

    >>> print(key_text("größe 7".encode()), key_text(b"st\\xfchle\\x00"), key_text(rb"c:\\x41"))
    größe 7 st\\xfchle\\x00 c:\\x5cx41
    """
    return _ESCAPED.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", key.decode("utf-8", "surrogateescape"))


def key_bytes(key: str) -> bytes:
    """The bytes that `key_text` wrote as this key."""
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), key.encode())


def text_of(cell: bytes) -> str:
    """Bytes of a metadata cell as text: UTF-8, other bytes as \\xNN. Not reversible: a text with a backslash stays
    itself."""
    return cell.decode("utf-8", "backslashreplace")


def bytes_of(text: str) -> bytes:
    """Text from a file as bytes: UTF-8, or for a file name that is not UTF-8 its own bytes, as `os.fsdecode` marks
    them."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can say
        return text.encode("utf-8", "surrogatepass")
