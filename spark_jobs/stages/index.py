"""What the search index holds: codes, keys, groups and a thumbnail of every used crop, in order of day, key and crop."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from data_contracts.reasons import Reason
from dlcore.search.index import Entries
from spark_jobs.stages.decode import read_pixels

THUMBNAIL_SIDE = 128
THUMBNAILS = pa.schema([("day", pa.date32()), ("key", pa.string()), ("crop", pa.int32()), ("thumbnail", pa.binary())])
"""Rows of `thumbnail_batches`."""

_ORDER = [("day", "ascending"), ("key", "ascending"), ("crop", "ascending")]


def thumbnail_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of `crops` (day, key, crop, reason, image) -> rows of THUMBNAILS, of the used ones."""
    for batch in batches:
        rows = [
            {name: row[name] for name in ("day", "key", "crop")} | {"thumbnail": thumbnail(row["image"])}
            for row in batch.to_pylist()
            if row["reason"] == Reason.OK
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=THUMBNAILS)


def thumbnail(image: bytes) -> bytes:
    """A canonical image as a small JPEG, its longer side at most THUMBNAIL_SIDE pixels."""
    picture = Image.fromarray(read_pixels(image))
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def index_entries(features: pa.Table, duplicates: pa.Table, thumbnails: pa.Table) -> Entries:
    """Entries of the used rows of `features`.

    duplicates: (day, key, crop, group, size); a group of one is none. thumbnails: rows of THUMBNAILS.
    """
    rows = features.filter(pc.is_valid(features.column("code"))).sort_by(_ORDER)
    groups = {place: row["group"] for place, row in _by_place(duplicates) if row["size"] and row["size"] > 1}
    pictures = {place: row["thumbnail"] for place, row in _by_place(thumbnails)}
    places = [place for place, _ in _by_place(rows)]
    small = [pictures.get(place, b"") for place in places]
    codes = b"".join(rows.column("code").to_pylist())
    return Entries(
        codes=np.frombuffer(codes, np.uint8).reshape(len(places), -1 if places else 1),
        days=np.array([day for day, _, _ in places], "datetime64[D]"),
        keys=_strings(key for _, key, _ in places),
        crops=np.array([crop for _, _, crop in places], np.int16),
        labels=_strings(rows.column("label").to_pylist()),
        groups=_strings(groups.get(place) for place in places),
        thumbnail_ends=np.cumsum([len(picture) for picture in small], dtype=np.int64),
        thumbnails=np.frombuffer(b"".join(small), np.uint8),
    )


def _by_place(rows: pa.Table) -> Iterator[tuple[tuple[Any, str, int], dict[str, Any]]]:
    """Rows with their (day, key, crop)."""
    return (((row["day"], row["key"], row["crop"]), row) for row in rows.to_pylist())


def _strings(values: Iterable[str | None]) -> Any:
    """Strings as a fixed-width array of UTF-8 bytes, None as empty."""
    return np.array([(value or "").encode() for value in values], np.bytes_)
