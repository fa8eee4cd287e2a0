"""The Spark data source `hbase`: the images of a day, one partition per slice of a region, over happybase.

    spark.dataSource.register(HBaseImages)
    spark.read.format("hbase").options(gateways="127.0.0.1:19090", table="product_images", day="2026-11-02").load()

Options, besides these three:
    day_column     for tables of other people: the metadata column (`family:qualifier`) that holds the day; their whole
                   table is scanned and the region servers filter. Without it the row keys are those of `row_key`.
    day_format     how that column begins on the day, as strftime writes it (%Y-%m-%d)
    image_column   (i:image)      metadata_family (m)
    wire           transport/protocol of the gateways: buffered or framed / binary or compact (buffered/binary)
    slices         partitions per region and range (1)      limit   most rows per partition, 0 for all (0)
    batch_bytes, queue_bytes, call_timeout_s, patience_s: see `hbase_scan.ReadLimits`

A row is one that has an image cell or a cell of the metadata family. Filters and columns are not pushed down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from itertools import pairwise
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from spark_jobs import row_key
from spark_jobs.hbase_scan import (
    Gateway,
    Gateways,
    HBaseError,
    ReadAhead,
    ReadLimits,
    Row,
    Scan,
    scan_batches,
)
from spark_jobs.settings import Settings, gateways_of

_PLAN_PATIENCE_S = 10.0
_KEYS_ONLY = b"FirstKeyOnlyFilter() AND KeyOnlyFilter()"

KeyRange = tuple[bytes, bytes]
"""First row and the row after the last; empty bytes mean the table's start or end."""

SCHEMA = "key string, image binary, size_bytes int, metadata map<string, string>, wait_s double"
"""wait_s: seconds for which this task waited for HBase before the row; their sum is the read wait."""
_ARROW = pa.schema(
    [
        ("key", pa.string()),
        ("image", pa.binary()),
        ("size_bytes", pa.int32()),
        ("metadata", pa.map_(pa.string(), pa.string())),
        ("wait_s", pa.float64()),
    ]
)


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "gateways": gateways_of,
    "day": date.fromisoformat,
    "slices": int,
    "limit": int,
    "batch_bytes": int,
    "queue_bytes": int,
    "call_timeout_s": float,
    "patience_s": float,
}


@dataclass(frozen=True)
class Source:
    """The options of the data source, parsed."""

    gateways: tuple[Gateway, ...]
    table: str
    day: date
    day_column: str = ""
    day_format: str = "%Y-%m-%d"
    image_column: str = "i:image"
    metadata_family: str = "m"
    wire: str = "buffered/binary"
    slices: int = 1
    limit: int = 0
    limits: ReadLimits = field(default_factory=ReadLimits)

    @classmethod
    def parsed(cls, options: Mapping[str, str]) -> Source:
        """Parse the options of `spark.read`.

        Raises:
            ValueError: one is missing, unknown or has no such value.
        """
        given: dict[str, Any] = {name.lower(): text for name, text in options.items()}
        for name, convert in _CONVERTERS.items():
            if name in given:
                given[name] = convert(given[name])
        limits = ReadLimits(
            **{limit.name: given.pop(limit.name) for limit in fields(ReadLimits) if limit.name in given}
        )
        missing = {"gateways", "table", "day"} - set(given)
        unknown = set(given) - {column.name for column in fields(cls)}
        if missing or unknown:
            raise ValueError(
                f"hbase: missing options {sorted(missing)}, unknown options {sorted(unknown)}; see spark_jobs/hbase.py"
            )
        return cls(**given, limits=limits)

    def condition(self) -> bytes | None:
        """The server-side filter of the day, for tables whose row keys do not tell it."""
        if not self.day_column:
            return None
        family, _, qualifier = (part.replace("'", "''") for part in self.day_column.partition(":"))
        value = self.day.strftime(self.day_format).replace("'", "''")
        return f"SingleColumnValueFilter('{family}', '{qualifier}', =, 'binaryprefix:{value}', true, true)".encode()

    def columns(self) -> tuple[bytes, ...]:
        """What is read of each row; the filter sees no other columns."""
        columns = [self.image_column, self.metadata_family]  # a family without a colon means all of it
        if self.day_column and not self.day_column.startswith(f"{self.metadata_family}:"):
            columns.append(self.day_column)
        return tuple(column.encode() for column in columns)

    def key_of(self, row: bytes) -> str:
        """The dataset's key of a row: the catalogue's own, or the whole row key of another table."""
        return row_key.text_of(row) if self.day_column else row_key.split_row_key(row)[1]


@dataclass
class Slice(InputPartition):
    """A part of one region, read by one task, best through the gateway on the region server's own host."""

    start: bytes
    stop: bytes
    host: str
    number: int


class HBaseImages(DataSource):
    """See the module."""

    @classmethod
    def name(cls) -> str:
        """The name for `spark.read.format`."""
        return "hbase"

    def schema(self) -> str:
        """The columns, always the same: DDL."""
        return SCHEMA

    def reader(self, schema: Any) -> HBaseReader:
        """The reader of these options. Raises ValueError for options that are wrong."""
        return HBaseReader(Source.parsed(self.options))


class HBaseReader(DataSourceReader):
    """Plans the slices and reads one."""

    def __init__(self, source: Source) -> None:
        """source: what to read."""
        self.source = source

    def partitions(self) -> Sequence[InputPartition]:
        """Cut the day's ranges at the regions' borders.

        Raises:
            HBaseError: no gateway answers, or the table, a family or its layout row is missing.
        """
        slices = plan_slices(self.source)
        return slices or [Slice(b"\x00", b"\x00", "", 0)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a slice, a batch for each reply of the gateway."""
        return read_slice(self.source, partition)


def plan_slices(source: Source) -> list[Slice]:
    """The slices of a day; together they cover it, and no row is in two.

    Raises:
        HBaseError: no gateway answers, or the table, a family or its layout row is missing.
    """
    gateways = Gateways(source.gateways, source.wire, _PLAN_PATIENCE_S)
    try:
        table = source.table.encode()
        patience_s = min(_PLAN_PATIENCE_S, source.limits.patience_s)
        families = gateways.ask(source.table, lambda client: client.getColumnDescriptors(table), patience_s)
        _check_families(source, {name.rstrip(b":") for name in families})
        regions = gateways.ask(source.table, lambda client: client.getTableRegions(table))
        wanted = (
            [(b"", b"")] if source.day_column else row_key.day_ranges(source.day, salt_buckets(gateways, source.table))
        )
        parts = [
            (part, region.serverName.decode())
            for region in sorted(regions, key=lambda region: region.startKey)
            for part in overlaps((region.startKey, region.endKey), wanted)
        ]
        cuts = [(cut, host) for part, host in parts for cut in _cut(gateways, source, part)]
        return [Slice(start, stop, host, number) for number, ((start, stop), host) in enumerate(cuts)]
    finally:
        gateways.close()


def _check_families(source: Source, families: set[bytes]) -> None:
    asked = {column.split(b":")[0] for column in source.columns()}
    if missing := asked - families:
        got, names = (b", ".join(sorted(group)).decode() for group in (families, missing))
        raise HBaseError(
            f"table {source.table!r} has the families [{got}], expected also [{names}]; set image_column, metadata_family or day_column"
        )


def salt_buckets(gateways: Gateways, table: str) -> int:
    """How many salts the rows of a table are spread over, from its layout row.

    Raises:
        HBaseError: no gateway answers, or the table has no layout row.
    """
    cells = gateways.ask(
        table, lambda client: client.get(table.encode(), row_key.LAYOUT_ROW, row_key.LAYOUT_COLUMN, {})
    )
    if not cells:
        raise HBaseError(
            f"table {table!r} has no row {row_key.LAYOUT_ROW.decode()!r}: it was not made by spark_jobs/load_images.py; "
            "read it by a metadata column (option day_column)"
        )
    return int(cells[0].value)


def count_rows(settings: Settings, day: date) -> int:
    """How many rows the image table holds of a day, counted by their keys alone: no image leaves HBase.

    Raises:
        HBaseError: no gateway answers, or the table or its layout row is missing.
    """
    gateways = Gateways(settings.gateways(), settings.hbase_wire)
    try:
        ranges = row_key.day_ranges(day, salt_buckets(gateways, settings.hbase_table))
    finally:
        gateways.close()
    table = settings.hbase_table.encode()
    scans = [Scan(table, (), *part, condition=_KEYS_ONLY) for part in ranges]
    return sum(len(batch) for scan in scans for batch in scan_batches(gateways, scan, ReadLimits()))


def overlaps(region: KeyRange, wanted: Sequence[KeyRange]) -> list[KeyRange]:
    """The parts of the wanted ranges that lie in a region."""
    parts = [(max(region[0], start), _lesser(region[1], stop)) for start, stop in wanted]
    return [(start, stop) for start, stop in parts if not stop or start < stop]


def _lesser(first: bytes, second: bytes) -> bytes:
    return min(first, second) if first and second else first or second


def _cut(gateways: Gateways, source: Source, part: KeyRange) -> list[KeyRange]:
    """Cut a part into slices at keys spread evenly between its first and last row."""
    if source.slices < 2:
        return [part]
    first, last = (_end_row(gateways, source.table, part, is_last) for is_last in (False, True))
    borders = [part[0], *(between(first, last, source.slices) if first and last else []), part[1]]
    return list(pairwise(borders))


def _end_row(gateways: Gateways, table: str, part: KeyRange, is_last: bool) -> bytes:
    """The first or last row of a part, empty if it has none."""
    from Hbase_thrift import TScan  # made by happybase when it is imported

    start, stop = (part[1], part[0]) if is_last else part
    scan = TScan(
        startRow=start,
        stopRow=stop or None,
        reversed=is_last,
        caching=1,
        filterString=_KEYS_ONLY,
    )

    def first(client: Any) -> bytes:
        scanner = client.scannerOpenWithScan(table.encode(), scan, {})
        rows = client.scannerGetList(scanner, 1)
        client.scannerClose(scanner)
        return bytes(rows[0].row) if rows else b""

    return gateways.ask(table, first)


def between(first: bytes, last: bytes, slices: int) -> list[bytes]:
    """Up to `slices - 1` keys, rising, that part the keys from `first` to `last` about evenly, by their next 8 bytes.

    >>> between(b"sku-0000", b"sku-8000", 2)
    [b'sku-4000']
    """
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    low, high = (int.from_bytes(key[shared : shared + 8].ljust(8, b"\x00"), "big") for key in (first, last))
    numbers = sorted({low + (high - low) * part // slices for part in range(1, slices)} - {low})
    keys = [first[:shared] + number.to_bytes(8, "big").rstrip(b"\x00") for number in numbers]
    return sorted({key for key in keys if first < key <= last})


def read_slice(source: Source, part: Slice) -> Iterator[pa.RecordBatch]:
    """Read a slice with a thread ahead of the consumer; the layout row is not an image.

    Raises:
        HBaseError: the table or a family is missing, or no new row came for `patience_s`.
    """
    if part.start and part.start == part.stop:
        return
    addresses = sorted(source.gateways, key=lambda gateway: gateway[0] != part.host)
    is_local = bool(addresses) and addresses[0][0] == part.host
    gateways = Gateways(addresses, source.wire, source.limits.call_timeout_s, turn=0 if is_local else part.number)
    scan = Scan(source.table.encode(), source.columns(), part.start, part.stop, source.condition())
    ahead = ReadAhead(scan_batches(gateways, scan, source.limits), source.limits.queue_bytes)
    rows_read, waited_s = 0, 0.0
    for rows in ahead:
        images = [row for row in rows if row[0] != row_key.LAYOUT_ROW]
        if source.limit:
            images = images[: source.limit - rows_read]
        if images:
            yield _record_batch(source, images, ahead.waited_s - waited_s)
            rows_read, waited_s = rows_read + len(images), ahead.waited_s
        if 0 < source.limit <= rows_read:
            return


def _record_batch(source: Source, rows: Sequence[Row], waited_s: float) -> pa.RecordBatch:
    image_column, prefix = source.image_column.encode(), f"{source.metadata_family}:".encode()
    images = [cells.get(image_column) for _, cells in rows]
    metadata = [
        [
            (row_key.text_of(name.removeprefix(prefix)), row_key.text_of(value))
            for name, value in sorted(cells.items())
            if name.startswith(prefix) and name != image_column
        ]
        for _, cells in rows
    ]
    columns = [
        [source.key_of(key) for key, _ in rows],
        images,
        [len(image or b"") for image in images],
        metadata,
        [waited_s, *[0.0] * (len(rows) - 1)][: len(rows)],
    ]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, item.type) for column, item in zip(columns, _ARROW, strict=True)], schema=_ARROW
    )
