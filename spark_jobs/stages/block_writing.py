"""Write rows of `features` as blocks of distinct pictures: each picture is named, gathered by day and bucket, and
stands once in the order of names.

Spark brings the rows of a bucket to one task and does nothing else with them: they are named, sorted and joined here,
where a row is a few bytes of an array and not a Java object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dlcore.search.codes import Indices
from spark_jobs.stages.picture_blocks import KEPT, PICTURE, write_block
from spark_jobs.stages.signature_rows import SIGNATURES

WRITTEN = pa.schema([("day", pa.date32()), ("name", pa.string()), ("rows", pa.int64()), ("left_out", pa.int64())])
"""Rows of `block_batches`: a block, its pictures, and the number of rows of its bucket that are left out because their
descriptors are not finite. A bucket with only such rows has no name."""
WRITTEN_ROW = "day date, name string, rows bigint, left_out bigint"
_PLACE = ("key", "crop")
_EXPONENT = 0x7C00  # of a float16; all ones: infinite, or no number (IEEE 754)
_NAME = 32  # digits


@dataclass
class _Bucket:
    """The signatures of one row per picture, since a million copies of one would fill the memory, and the places of all
    its rows."""

    day: Any
    pictures: list[pa.RecordBatch] = field(default_factory=list)
    places: list[pa.RecordBatch] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    left_out: int = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows of the bucket."""
        finite = _finite(rows.column("descriptor"))
        self.left_out += len(rows) - int(finite.sum())
        rows = rows.filter(pa.array(finite))
        names = _names(rows)
        first = [number for number, name in enumerate(names) if name not in self.seen and not self.seen.add(name)]  # type: ignore[func-returns-value]
        named = rows.append_column(PICTURE, pa.array(names, pa.string()))
        self.places.append(named.select([PICTURE, *_PLACE]))
        if first:
            self.pictures.append(named.select([PICTURE, *SIGNATURES]).take(pa.array(first, pa.int64())))

    def written(self, index: str) -> dict[str, Any]:
        """Write the block -> a row of WRITTEN."""
        told = {"day": self.day, "name": None, "rows": 0, "left_out": self.left_out}
        if not self.pictures:
            return told
        pictures = pa.Table.from_batches(self.pictures).sort_by(PICTURE)
        order = [(name, "ascending") for name in (PICTURE, *_PLACE)]
        places = pa.Table.from_batches(self.places).sort_by(order).combine_chunks()
        counts = places.column(PICTURE).value_counts().field("counts").to_numpy()  # in order of appearance
        starts = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
        lists = {f"{name}s": pa.ListArray.from_arrays(starts, places.column(name).combine_chunks()) for name in _PLACE}
        block = write_block(index, KEPT, self.day, pictures, lists)
        return told | {"name": block.name, "rows": block.rows}


def block_batches(batches: Iterable[pa.RecordBatch], index: str) -> Iterator[pa.RecordBatch]:
    """Rows (day, bucket, key, crop, signatures) in any order, all of a day and bucket here -> one block for each, as
    rows of WRITTEN."""
    buckets: dict[int, _Bucket] = {}
    for batch in batches:
        for number, rows in _by_bucket(batch):
            some = batch.take(pa.array(rows))
            buckets.setdefault(number, _Bucket(some.column("day")[0].as_py())).add(some)
    for number in sorted(buckets):
        yield pa.RecordBatch.from_pylist([buckets.pop(number).written(index)], WRITTEN)


def _by_bucket(batch: pa.RecordBatch) -> Iterator[tuple[int, Indices]]:
    """A number for each day and bucket in a batch, and its rows."""
    day = batch.column("day").cast(pa.int32()).to_numpy().astype(np.int64)
    number = (day << 32) + batch.column("bucket").to_numpy()
    for one in np.unique(number).tolist():
        yield one, np.flatnonzero(number == one)


def _finite(descriptors: pa.Array) -> NDArray[np.bool_]:
    """Which descriptors, all of one length, have only finite numbers."""
    numbers = np.frombuffer(b"".join(descriptors.to_pylist()), "<u2").reshape(len(descriptors), -1)
    finite: NDArray[np.bool_] = ((numbers & _EXPONENT) != _EXPONENT).all(axis=1)
    return finite


def _names(rows: pa.RecordBatch) -> list[str]:
    """The names that `signature_rows.PICTURE_NAME` gives the pictures."""
    signatures = zip(*(rows.column(name).to_pylist() for name in SIGNATURES), strict=True)
    return [sha256(b"".join(parts)).hexdigest()[:_NAME] for parts in signatures]
