"""Items of an index in memory, before they are written and when files of an older format are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from dlcore.search.byte_strings import ByteStrings, joined
from dlcore.search.codes import Codes


@dataclass(frozen=True)
class Entries:
    """What an index holds, item by item; every field has N rows.

    codes (N, B) uint8 · days (N,) datetime64[D] · keys, labels, groups: N byte strings, also given as an array or a
    list · crops (N,) int16 · thumbnail_ends (N,) int64, where each item's JPEG ends in `thumbnails`, a (T,) uint8 array
    · columns: what else searches filter by: name -> N byte strings (empty for none) or (N,) float64 (NaN for none).
    """

    codes: Codes
    days: NDArray[np.datetime64]
    keys: ByteStrings
    crops: NDArray[np.int16]
    labels: ByteStrings
    groups: ByteStrings
    thumbnail_ends: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    columns: Mapping[str, ByteStrings | NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("keys", "labels", "groups"):
            value = getattr(self, name)
            if not isinstance(value, ByteStrings):
                object.__setattr__(self, name, ByteStrings.of(value))
        named = {each.name: getattr(self, each.name) for each in fields(self)[:-2]} | dict(self.columns)
        rows = {name: len(values) for name, values in named.items()}
        if len(set(rows.values())) != 1:
            raise ValueError(f"Entries: got arrays of {rows} rows, expected as many in each")

    def __len__(self) -> int:
        return len(self.codes)


def concatenated(parts: Sequence[Entries]) -> Entries:
    """The items of one after those of the other, at least one part."""
    pictures = joined([ByteStrings(part.thumbnails, part.thumbnail_ends) for part in parts])
    return Entries(
        codes=np.concatenate([part.codes for part in parts]),
        days=np.concatenate([part.days for part in parts]),
        keys=joined([part.keys for part in parts]),
        crops=np.concatenate([part.crops for part in parts]),
        labels=joined([part.labels for part in parts]),
        groups=joined([part.groups for part in parts]),
        thumbnail_ends=pictures.ends,
        thumbnails=pictures.data,
        columns={
            name: _joined_column(name, parts) for name in sorted({name for part in parts for name in part.columns})
        },
    )


def _joined_column(name: str, parts: Sequence[Entries]) -> ByteStrings | NDArray[np.float64]:
    """A filter column of all parts; items of a part that lacks it have no value.

    Raises:
        ValueError: it holds texts in some parts and numbers in others.
    """
    given = [part.columns.get(name) for part in parts]
    texts = [values for values in given if isinstance(values, ByteStrings)]
    if texts and len(texts) < sum(values is not None for values in given):
        raise ValueError(
            f"got texts and numbers in filter column {name!r}, expected one kind; run build_index with --afresh"
        )
    if texts:
        return joined(
            [
                values if isinstance(values, ByteStrings) else _nothing(len(part))
                for values, part in zip(given, parts, strict=True)
            ]
        )
    return np.concatenate(
        [
            np.full(len(part), np.nan) if values is None else np.asarray(values)
            for values, part in zip(given, parts, strict=True)
        ]
    )


def _nothing(count: int) -> ByteStrings:
    return ByteStrings(np.empty(0, np.uint8), np.zeros(count, np.int64))


def split_place(where: bytes) -> tuple[str, str, int]:
    """Day, key and crop of a place.

    >>> split_place(place("2026-11-02", b"sku-7/0", 1))
    ('2026-11-02', 'sku-7/0', 1)
    """
    day, _, rest = where.partition(b"/")
    key, _, crop = rest.rpartition(b"#")
    return day.decode(), key.decode(), int(crop)


def place(day: np.datetime64 | str, key: bytes, crop: int) -> bytes:
    """The name of an item among all of an index: its picture and which crop of it."""
    return f"{day}/".encode() + key + f"#{crop}".encode()
