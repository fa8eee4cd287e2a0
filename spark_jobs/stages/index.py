"""Write what the search index holds: codes, keys, groups and a thumbnail of every used crop; tasks write it in
parts."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from data_contracts.reasons import Reason
from dlcore.search.byte_strings import ByteStrings
from dlcore.search.entries import Entries, concatenated
from dlcore.search.group_list import Group, Pair, write_group_list
from dlcore.search.part import Part, part_of
from dlcore.search.segment import SEGMENT_ITEMS, open_segment, write_groups, write_segment
from dlcore.search.store import Store
from spark_jobs.stages.decode import read_pixels

THUMBNAIL_SIDE = 128
THUMBNAILS = pa.schema([("day", pa.date32()), ("key", pa.string()), ("crop", pa.int32()), ("thumbnail", pa.binary())])
"""Rows of `thumbnail_batches`."""

ROW = ("day", "key", "crop", "label", "code", "thumbnail")
"""The columns of an index row that precede those to filter by."""
PARTS = pa.schema([("part", pa.string())])
"""The parts of an index that a task has written, each as JSON."""
MOST_PAIRS = 10_000
"""Most pairs of a group that the list names."""
LISTED = 1 << 20
"""Members and pairs of groups after which a part of the list is written, since they are Python objects until then: some
0.3 GB. A million members may have 50 million pairs."""
SEGMENT_BYTES = 256 << 20
"""Most bytes of memory for the rows of a segment, without their thumbnails: a million rows take half of it."""


def thumbnail_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of `crops` (day, key, crop, reason, image) -> rows of THUMBNAILS for the used ones."""
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


def segment_parts(
    batches: Iterable[pa.RecordBatch], uri: str, states: Mapping[str, str], most: int = SEGMENT_ITEMS
) -> Iterator[pa.RecordBatch]:
    """Rows (day, key, crop, label, code, thumbnail, filters) in order of day, key and crop -> written segments, as rows
    of PARTS.

    uri: that of the index. states: day -> what its rows were made from. most: items of a segment, which has one day.
    """
    store, waiting = Store(uri), _Waiting()
    for batch in batches:
        for rows in _of_each_day(batch):
            if waiting.rows and not waiting.takes(rows, most):
                yield waiting.written(store, states)
                waiting = _Waiting()
            waiting.add(rows)
    if waiting.rows:
        yield waiting.written(store, states)


class _Waiting:
    """The rows of a future segment. They are in memory, except for their thumbnails, which are nearly all of the bytes
    and wait in a file."""

    def __init__(self) -> None:
        self.rows: list[pa.RecordBatch] = []
        self.held = self.size_bytes = self.picture_bytes = 0
        self._ends: list[NDArray[np.int64]] = []
        self._pictures = tempfile.TemporaryFile()  # noqa: SIM115 (`written` closes it)

    def takes(self, rows: pa.RecordBatch, most: int) -> bool:
        """Whether these rows belong to the same segment: of the same day, and not too many."""
        is_same_day = self.rows[0].column("day")[0] == rows.column("day")[0]
        return bool(is_same_day) and self.held + len(rows) <= most and self.size_bytes <= SEGMENT_BYTES

    def add(self, rows: pa.RecordBatch) -> None:
        """Hold rows."""
        pictures = _strings(pa.chunked_array([rows.column("thumbnail")]))
        self._pictures.write(pictures.data.data)
        self._ends.append(pictures.ends + self.picture_bytes)
        self.picture_bytes += len(pictures.data)
        self.rows.append(rows.drop_columns(["thumbnail"]))
        self.held += len(rows)
        self.size_bytes += self.rows[-1].nbytes

    def written(self, store: Store, states: Mapping[str, str]) -> pa.RecordBatch:
        """Write them as a segment -> its row of PARTS."""
        self._pictures.flush()
        with self._pictures as file:
            data = np.memmap(file, np.uint8, "r") if self.picture_bytes else np.empty(0, np.uint8)
            pictures = ByteStrings(data, np.concatenate(self._ends))
            rows = pa.Table.from_batches(self.rows)
            filters = [name for name in rows.column_names if name not in ROW]
            return _row_of(write_segment(store, entries_of(rows, pictures, filters), states))


def _of_each_day(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in runs of rows of the same day."""
    days = batch.column("day").cast(pa.int32()).to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for start, end in pairwise(starts):
        if end > start:
            yield batch.slice(start, end - start)


def group_parts(batches: Iterable[pa.RecordBatch], uri: str) -> Iterator[pa.RecordBatch]:
    """Rows (place, group) in order of the places -> a part of the index's groups that holds them, as a row of PARTS."""
    rows = pa.Table.from_batches(batches, schema=pa.schema([("place", pa.string()), ("group", pa.string())]))
    if len(rows):
        yield _row_of(write_groups(Store(uri), _strings(rows.column("place")), _strings(rows.column("group"))))


def list_parts(batches: Iterable[pa.RecordBatch], uri: str) -> Iterator[pa.RecordBatch]:
    """Rows (group, day, place, shop, evidence) in order of group and place, a group's all here -> the parts of the
    group list with them, as rows of PARTS."""
    rows = (row for batch in batches for row in batch.to_pylist())
    groups: list[Group] = []
    held = 0
    for name, members in groupby(rows, key=lambda row: row["group"]):
        groups.append(_group(name, list(members)))
        held += len(groups[-1].members) + len(groups[-1].pairs)
        if held >= LISTED:
            yield _row_of(write_group_list(Store(uri), groups))
            groups, held = [], 0
    if groups:
        yield _row_of(write_group_list(Store(uri), groups))


def _group(name: str, rows: list[dict[str, Any]]) -> Group:
    """A group from its members' rows; both members of a pair name it as evidence, and it counts once."""
    number = {row["place"]: place for place, row in enumerate(rows)}
    pairs = {}
    for row in rows:
        for found in row["evidence"] or []:
            other = number.get(f"{found['day']}/{found['key']}#{found['crop']}")
            if other is not None and other != number[row["place"]]:
                one, other = sorted((number[row["place"]], other))
                pairs[one, other] = Pair(one, other, found["distance"], found["similarity"])
    strongest = sorted(pairs.values(), key=lambda pair: (-pair.similarity, pair.distance))[:MOST_PAIRS]
    shops = {row["shop"] for row in rows} - {None}
    return Group(name, tuple(number), str(max(row["day"] for row in rows)), len(shops), tuple(strongest))


def merged_parts(batches: Iterable[pa.RecordBatch], uri: str, code_bytes: int) -> Iterator[pa.RecordBatch]:
    """Rows whose `part` is a JSON list of segments -> one segment for each list, with the items of all, as rows of
    PARTS."""
    store = Store(uri)
    for batch in batches:
        for text in batch.column("part").to_pylist():
            parts = [part_of(part) for part in json.loads(text)]
            states = {day: state for part in parts for day, state in part.days.items()}
            items = concatenated([open_segment(store, part, code_bytes).entries() for part in parts])
            yield _row_of(write_segment(store, items, states))


def _row_of(part: Part) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"part": json.dumps(part.to_json())}], schema=PARTS)


def entries_of(rows: pa.Table, pictures: ByteStrings | None = None, filters: Sequence[str] = ()) -> Entries:
    """Rows (day, key, crop, label, code) and their thumbnails, by default a column of these rows, as items without
    groups.

    filters: further columns, of texts or numbers.
    """
    codes = _strings(rows.column("code"))
    pictures = _strings(rows.column("thumbnail")) if pictures is None else pictures
    return Entries(
        codes=codes.data.reshape(len(rows), -1 if len(rows) else 1),
        days=rows.column("day").to_numpy().astype("datetime64[D]"),
        keys=_strings(rows.column("key")),
        crops=rows.column("crop").to_numpy().astype(np.int16),
        labels=_strings(rows.column("label")),
        groups=ByteStrings(np.empty(0, np.uint8), np.zeros(len(rows), np.int64)),
        thumbnail_ends=pictures.ends,
        thumbnails=pictures.data,
        columns={name: _filter(rows.column(name)) for name in filters},
    )


def _filter(column: pa.ChunkedArray) -> ByteStrings | NDArray[np.float64]:
    """A column as texts, null as empty; or as numbers, null as NaN."""
    if pa.types.is_floating(column.type):
        numbers: NDArray[np.float64] = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()
        return numbers
    return _strings(column)


def _strings(column: pa.ChunkedArray) -> ByteStrings:
    """Strings as UTF-8, bytes as they are, None as empty; by their buffers, without a Python object for each."""
    kind = pa.large_binary() if pa.types.is_binary(column.type) else pa.large_string()
    values = pc.fill_null(column.cast(kind), b"" if kind == pa.large_binary() else "")
    array = pa.concat_arrays([pa.array([], kind), *values.chunks])
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    held = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return ByteStrings(held[ends[0] : ends[-1]], ends[1:] - ends[0])
