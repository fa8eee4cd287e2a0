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
    batch_bytes, batch_rows, row_bytes, queue_bytes, call_timeout_s, patience_s: see `scan.ReadLimits`

Every row with an image cell or a cell of the metadata family counts. `reason` says whether it can be used: a row cannot
if its key has another layout or if it is too large to be read. Filters and columns are not pushed down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from datetime import date
from itertools import pairwise
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from data_contracts.reasons import Reason
from spark_jobs.hbase import row_key
from spark_jobs.hbase.read_ahead import ReadAhead
from spark_jobs.hbase.scan import (
    Gateway,
    Gateways,
    HBaseError,
    ReadLimits,
    Row,
    Scan,
    Withheld,
    scan_batches,
    size_of,
)
from spark_jobs.hbase.slices import KeyRange, between, check_cover, overlaps, regions_of
from spark_jobs.settings import Settings, gateways_of

_PLAN_PATIENCE_S = 10.0
_MOST_INT = 2**31 - 1
_COUNTED_ROWS = 1000
"""Rows per reply if only their keys are asked for, of 32 KB at most."""
_KEYS_ONLY = b"FirstKeyOnlyFilter() AND KeyOnlyFilter()"

SCHEMA = "key string, reason string, image binary, size_bytes int, metadata map<string, string>, wait_s double"
"""size_bytes: of the image, even if it is too large to be read; image and metadata are then left out.
wait_s: seconds that this task waited for HBase before the row; their sum is the read wait."""
_ARROW = pa.schema(
    [
        ("key", pa.string()),
        ("reason", pa.string()),
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
    "batch_rows": int,
    "row_bytes": int,
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
                f"hbase: missing options {sorted(missing)}, unknown options {sorted(unknown)}; see "
                f"spark_jobs/hbase/source.py"
            )
        return cls(**given, limits=limits)

    def condition(self) -> bytes | None:
        """The server-side filter for the day, for tables whose row keys do not have it."""
        if not self.day_column:
            return None
        family, _, qualifier = (part.replace("'", "''") for part in self.day_column.partition(":"))
        value = self.day.strftime(self.day_format).replace("'", "''")
        return f"SingleColumnValueFilter('{family}', '{qualifier}', =, 'binaryprefix:{value}', true, true)".encode()

    def columns(self) -> tuple[bytes, ...]:
        """The columns that are read; the filter sees no others."""
        columns = [self.image_column, self.metadata_family]  # a family without a colon means all of it
        if self.day_column and not self.day_column.startswith(f"{self.metadata_family}:"):
            columns.append(self.day_column)
        return tuple(column.encode() for column in columns)

    def key_of(self, row: bytes, salt_buckets: int) -> tuple[str, bool]:
        """The dataset's key of a row, and whether the row has the layout; in tables of other people every row has, and
        the whole row key is the key."""
        if self.day_column:
            return row_key.key_text(row), True
        key = row_key.own_key(row, salt_buckets)
        return (key, True) if key is not None else (row_key.foreign_key(row), False)


@dataclass
class Slice(InputPartition):
    """A part of one region, read by one task, best through the gateway on the region server's own host.

    salt_buckets: that of the table; 0 if the row keys do not have the day.
    """

    start: bytes
    stop: bytes
    host: str
    number: int
    salt_buckets: int = 0


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
        """The reader of these options.

        Raises:
            ValueError: the options are wrong.
        """
        return HBaseReader(Source.parsed(self.options))


class HBaseReader(DataSourceReader):
    """Plans the slices of a day, and reads one of them."""

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
        regions = regions_of(gateways.ask(source.table, lambda client: client.getTableRegions(table)))
        salts = 0 if source.day_column else salt_buckets(gateways, source.table)
        wanted = row_key.day_ranges(source.day, salts) if salts else [(b"", b"")]
        parts = [(part, region.host) for region in regions for part in overlaps(region.rows, wanted)]
        cuts = [(cut, host) for part, host in parts for cut in _cut(gateways, source, part)]
        check_cover(wanted, [cut for cut, _ in cuts])
        return [Slice(start, stop, host, number, salts) for number, ((start, stop), host) in enumerate(cuts)]
    finally:
        gateways.close()


def _check_families(source: Source, families: set[bytes]) -> None:
    asked = {column.split(b":")[0] for column in source.columns()}
    if missing := asked - families:
        got, names = (b", ".join(sorted(group)).decode() for group in (families, missing))
        raise HBaseError(
            f"table {source.table!r} has the families [{got}], expected also [{names}]; set image_column, "
            f"metadata_family or day_column"
        )


def salt_buckets(gateways: Gateways, table: str) -> int:
    """How many salts the rows of a table are spread over, as its layout row says.

    Raises:
        HBaseError: no gateway answers, or the table has no layout row.
    """
    cells = gateways.ask(
        table, lambda client: client.get(table.encode(), row_key.LAYOUT_ROW, row_key.LAYOUT_COLUMN, {})
    )
    if not cells:
        raise HBaseError(
            f"table {table!r} has no row {row_key.LAYOUT_ROW.decode()!r}: it was not made by "
            f"spark_jobs/load_images.py; "
            "read it by a metadata column (option day_column)"
        )
    return int(cells[0].value)


def count_rows(settings: Settings, day: date) -> int:
    """How many rows the image table has for a day, counted by their keys: no image leaves HBase.

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
    limits = ReadLimits(batch_rows=_COUNTED_ROWS)
    return sum(len(batch) for scan in scans for batch in scan_batches(gateways, scan, limits))


def has_table(settings: Settings, table: str) -> bool:
    """Whether HBase has a table of that name.

    Raises:
        HBaseError: no gateway answers.
    """
    gateways = Gateways(settings.gateways(), settings.hbase_wire, _PLAN_PATIENCE_S)
    with closing(gateways):
        return table.encode() in gateways.ask(table, lambda client: client.getTableNames(), _PLAN_PATIENCE_S)


def has_rows(settings: Settings, table: str) -> bool:
    """Whether a table has any row besides its layout row; only its first keys are read.

    Raises:
        HBaseError: no gateway answers, or the table is missing.
    """
    gateways = Gateways(settings.gateways(), settings.hbase_wire, _PLAN_PATIENCE_S)
    batches = scan_batches(gateways, Scan(table.encode(), (), condition=_KEYS_ONLY), ReadLimits())
    with closing(batches):
        return any(key != row_key.LAYOUT_ROW for batch in batches for key, _ in batch)


def _cut(gateways: Gateways, source: Source, part: KeyRange) -> list[KeyRange]:
    """Cut a part into slices at keys spread evenly between its first and last row."""
    if source.slices < 2:
        return [part]
    first, last = (_end_row(gateways, source.table, part, is_last) for is_last in (False, True))
    borders = [part[0], *(between(first, last, source.slices) if first and last else []), part[1]]
    return list(pairwise(borders))


def _end_row(gateways: Gateways, table: str, part: KeyRange, is_last: bool) -> bytes:
    """The first or last row of a part; empty if it has none."""
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


def read_slice(source: Source, part: Slice) -> Iterator[pa.RecordBatch]:
    """Read a slice in record batches of `batch_bytes`, or of one larger row; a thread reads ahead of the consumer.

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
    rows_left, waited_s = source.limit or None, 0.0
    for batch in ahead:
        for rows in _portions(batch[:rows_left], source.limits.batch_bytes):
            yield _record_batch(source, rows, part.salt_buckets, ahead.waited_s - waited_s)
            waited_s = ahead.waited_s
        if rows_left is not None:
            rows_left -= len(batch[:rows_left])
            if not rows_left:
                return


def _portions(rows: Sequence[Row], portion_bytes: int) -> Iterator[list[Row]]:
    """Rows in order, in portions of `portion_bytes`, or of one larger row."""
    portion: list[Row] = []
    left = portion_bytes
    for row in rows:
        left -= size_of(row)
        if portion and left < 0:
            yield portion
            portion, left = [], portion_bytes - size_of(row)
        portion.append(row)
    if portion:
        yield portion


def _record_batch(source: Source, rows: Sequence[Row], salt_buckets: int, waited_s: float) -> pa.RecordBatch:
    wait_s = [waited_s, *[0.0] * (len(rows) - 1)]
    values = [(*_values(source, row, salt_buckets), wait) for row, wait in zip(rows, wait_s, strict=True)]
    columns = zip(*values, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, item.type) for column, item in zip(columns, _ARROW, strict=True)], schema=_ARROW
    )


def _values(source: Source, row: Row, salt_buckets: int) -> tuple[Any, ...]:
    """A row's values in the dataset: all columns but the last, in order."""
    key, is_own = source.key_of(row[0], salt_buckets)
    image_column = source.image_column.encode()
    if isinstance(row[1], Withheld):
        size_bytes = min(row[1].sizes.get(image_column, 0), _MOST_INT)
        return key, str(Reason.TOO_MANY_BYTES if is_own else Reason.FOREIGN_ROW), None, size_bytes, []
    image = row[1].get(image_column)
    reason = _reason(image) if is_own else Reason.FOREIGN_ROW
    return key, str(reason), image, len(image or b""), _metadata(source, row[1])


def _reason(image: bytes | None) -> Reason:
    if image is None:
        return Reason.MISSING_IMAGE
    return Reason.OK if image else Reason.EMPTY


def _metadata(source: Source, cells: Mapping[bytes, bytes]) -> list[tuple[str, str]]:
    prefix = f"{source.metadata_family}:".encode()
    return [
        (row_key.key_text(name.removeprefix(prefix)), row_key.text_of(value))
        for name, value in sorted(cells.items())
        if name.startswith(prefix) and name != source.image_column.encode()
    ]
