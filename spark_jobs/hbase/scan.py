"""Read a range of an HBase table through its Thrift gateways, each row once, whatever gateways fail.

After any error the connection is dropped (an interrupted reply leaves it in an unknown state), the next gateway is
tried after a pause, and the scan continues behind the last row received.

Thrift counts a reply in rows, and a gateway holds all of it; no call says how large the next rows are. So a scan asks
for one row first, then for as many as fit by the largest of the last reply, at most twice as many as before and never
more than `batch_rows`; after a failure for one again. When that one fails as well, its size alone is asked for.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import happybase

from spark_jobs.hbase.row_key import row_after

logger = logging.getLogger(__name__)

Gateway = tuple[str, int]
Answer = TypeVar("Answer")

_SIZES_ONLY = b"KeyOnlyFilter(true)"
"""Region servers then return the length of each cell's value, as 4 bytes, instead of the value."""
_LENGTH_BYTES = 4
_SURE = 3
"""Number of failures of the same large row after which it may be given up; each counts while the gateway can tell the
row's size."""
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_CONNECT_TIMEOUT_S = 5.0


class HBaseError(RuntimeError):
    """HBase cannot give what was asked for, and trying again now would not help."""


class NoAnswer(HBaseError):
    """No gateway answered for as long as patience lasted."""


class CellTooLarge(HBaseError):
    """HBase does not take a cell of this size (`hbase.client.keyvalue.maxsize`, `hbase.server.keyvalue.maxsize`)."""


@dataclass(frozen=True)
class ReadLimits:
    """How a table is read: bytes and rows per reply, bytes in the queue, and time limits in seconds.

    batch_bytes: what a reply should hold.
    batch_rows: most rows of a reply, even if rows suddenly grow: a gateway's heap must hold so many of the largest
        rows.
    row_bytes: size above which a row is withheld.
    call_timeout_s: limit for one call of a gateway.   patience_s: limit for all tries together without one new row.
    """

    batch_bytes: int = 4 << 20
    batch_rows: int = 16
    row_bytes: int = 64 << 20
    queue_bytes: int = 32 << 20
    call_timeout_s: float = 60.0
    patience_s: float = 120.0


@dataclass(frozen=True)
class Withheld:
    """Stands in place of the cells of a row that is too large to be read: their sizes in bytes, by column."""

    sizes: Mapping[bytes, int]


Row = tuple[bytes, dict[bytes, bytes] | Withheld]
"""Row key, and cells by `family:qualifier`."""


@dataclass(frozen=True)
class Scan:
    """The rows from `start` up to but without `stop` (empty: to the end), in the given columns.

    columns: `family:qualifier`, or `family` for all of a family.   condition: a filter in HBase's filter language,
    which the region servers apply.
    """

    table: bytes
    columns: tuple[bytes, ...]
    start: bytes = b""
    stop: bytes = b""
    condition: bytes | None = None


def explain(error: Exception) -> str:
    """What a Thrift server reported, in one line: Java's exception without its stack."""
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return text.split("\n", 1)[0][:300]


def permanent(error: Exception, scan_of: str) -> HBaseError | None:
    """An error that trying again will not cure, with what to do; None for any other error."""
    line = explain(error)
    if "TableNotFoundException" in line:
        return HBaseError(f"HBase has no table {scan_of!r}; create it with spark_jobs/load_images.py, or pass its name")
    if "NoSuchColumnFamilyException" in line:
        return HBaseError(f"table {scan_of!r} lacks a column family that was asked for: {line}")
    if "KeyValue size too large" in line or "exceeds limit of" in line:
        return CellTooLarge(line)
    if "TableNotEnabledException" in line:
        return HBaseError(f"table {scan_of!r} is disabled; enable it in the HBase shell: enable {scan_of!r}")
    return None


@dataclass
class Gateways:
    """A connection to one of several Thrift servers; after any error, a connection to the next one replaces it.

    addresses: host names or addresses, with their ports; a name may stand for several servers.
    wire: transport/protocol of the servers: buffered or framed / binary or compact.
    Not for several threads at once.
    """

    addresses: Sequence[Gateway]
    wire: str = "buffered/binary"
    call_timeout_s: float = 60.0
    turn: int = 0
    _connection: Any = field(default=None, repr=False)

    def client(self) -> Any:
        """The Thrift client of the present gateway, connected.

        Raises:
            TException, OSError: the gateway cannot be reached or does not answer.
        """
        if self._connection is None:
            rounds, place = divmod(self.turn, len(self.addresses))
            host, port = _one_of(*self.addresses[place], rounds)
            socket.create_connection((host, port), _CONNECT_TIMEOUT_S).close()  # happybase would wait call_timeout_s
            transport, _, protocol = self.wire.partition("/")
            timeout_ms = round(self.call_timeout_s * 1000)
            self._connection = happybase.Connection(
                host, port, timeout=timeout_ms, transport=transport, protocol=protocol
            )
        return self._connection.client

    def drop(self) -> None:
        """Close the connection; the next call goes to the next gateway."""
        self.close()
        self.turn += 1

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def ask(self, table: str, question: Callable[[Any], Answer], patience_s: float = 10.0) -> Answer:
        """Ask again until a gateway answers.

        Raises:
            HBaseError: the table or a family is missing.
            NoAnswer: no gateway answered for `patience_s`.
        """
        deadline, failures = time.monotonic() + patience_s, 0
        while True:
            try:
                return question(self.client())
            except Exception as error:  # whatever happened, the connection is in an unknown state
                self.drop()
                if hopeless := permanent(error, table):
                    raise hopeless from None
                if time.monotonic() >= deadline:
                    raise NoAnswer(self._no_answer(patience_s, error)) from error
                logger.warning("HBase: %s; trying again", explain(error))
                failures += 1
                if failures % len(self.addresses) == 0:  # each gateway has failed
                    time.sleep(_pause_s(failures // len(self.addresses) - 1))

    def _no_answer(self, patience_s: float, error: Exception) -> str:
        where = ", ".join(f"{host}:{port}" for host, port in self.addresses)
        return (
            f"HBase: no Thrift gateway of [{where}] answered within {patience_s:.0f} s (last: {explain(error)}); "
            "start one, or set PIPELINE_HBASE_GATEWAYS=host:port,host:port; one that connects but does not answer may "
            f"need another PIPELINE_HBASE_WIRE than {self.wire}"
        )


def _one_of(host: str, port: int, turn: int) -> Gateway:
    """An address behind a host name, another one each turn, since a name may stand for several servers."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(entry[4][0]) for entry in found if entry[0] == found[0][0]})
    return addresses[turn % len(addresses)], port


def _pause_s(rounds: int) -> float:
    return _PAUSES_S[min(rounds, len(_PAUSES_S) - 1)]


def scan_batches(gateways: Gateways, scan: Scan, limits: ReadLimits) -> Generator[list[Row], None, None]:
    """Yield the rows of a scan in batches of about `limits.batch_bytes`, each row once, whatever fails in between.

    A row larger than `limits.row_bytes` comes as `Withheld`. So does a row larger than `limits.batch_bytes` that no
    gateway delivers within `limits.patience_s`, although they can tell its size. The gateways are closed at the end.

    Raises:
        HBaseError: the table or a family is missing, or no new row came for `limits.patience_s`.
    """
    table, reading = scan.table.decode(), _Reading(scan, limits, scan.start)
    try:
        while not reading.is_over:
            try:
                batch = gateways.ask(table, reading.fetch, limits.patience_s)
            except NoAnswer:
                batch = reading.give_up()
                if not batch:
                    raise
            if batch:
                yield batch
        with contextlib.suppress(Exception):  # a scanner that stays open ends with its lease
            gateways.client().scannerClose(reading.scanner)
    finally:
        gateways.close()


@dataclass
class _Reading:
    """Where a scan is, and how many rows it asks for next.

    start: the first row that has not been received.   scanner: None if it must be opened anew.
    """

    scan: Scan
    limits: ReadLimits
    start: bytes
    rows: int = 1
    scanner: int | None = None
    is_over: bool = False
    _is_suspect: bool = False
    """Whether the next row failed when it was asked for alone."""
    _measured: Row | None = None
    _tries: int = 0
    """How often the next row was asked for since its size is known."""

    def fetch(self, client: Any) -> list[Row]:
        """The next rows from one gateway; its scanner is opened anew if it or its gateway has died."""
        try:
            if self._is_suspect:
                self._measured = self._measure(client)
                if self._measured and _told_bytes(self._measured) > self.limits.row_bytes:
                    return self._received([self._measured])
                self._tries += 1
            if self.scanner is None:
                self.scanner = self._open(client, self.scan.condition)
            answer = client.scannerGetList(self.scanner, self.rows)
        except Exception:
            self.scanner = None  # it died with its connection
            self._is_suspect, self.rows = self.rows == 1, 1
            raise
        return self._received([(row.row, {name: cell.value for name, cell in row.columns.items()}) for row in answer])

    def give_up(self) -> list[Row]:
        """The next row, withheld, if it is a large one that alone blocks the scan; else nothing."""
        row = self._measured
        if row is None or self._tries < _SURE or _told_bytes(row) <= self.limits.batch_bytes:
            return []
        logger.warning("HBase: no gateway delivers row %r of %d bytes; it is withheld", row[0], _told_bytes(row))
        return self._received([row])

    def _received(self, rows: list[Row]) -> list[Row]:
        """Move the scan behind these rows (it ends if there are none), and withhold those that are too large."""
        self._is_suspect, self._measured, self._tries = False, None, 0
        if rows:
            self.start = row_after(rows[-1][0])
            largest = max(size_of(row) for row in rows)
            self.rows = max(1, min(self.limits.batch_bytes // max(1, largest), 2 * self.rows, self.limits.batch_rows))
        self.is_over = not rows or not self.start
        return [_within(self.limits.row_bytes, row) for row in rows]

    def _measure(self, client: Any) -> Row | None:
        """The next row as `Withheld`: its key and the sizes of its cells, which are not read."""
        condition = self.scan.condition
        scanner = self._open(client, b"(%s) AND %s" % (condition, _SIZES_ONLY) if condition else _SIZES_ONLY)
        rows = client.scannerGetList(scanner, 1)
        client.scannerClose(scanner)
        if not rows:
            return None
        return rows[0].row, Withheld({name: _told_size(cell.value) for name, cell in rows[0].columns.items()})

    def _open(self, client: Any, condition: bytes | None) -> int:
        from Hbase_thrift import TScan  # made by happybase when it is imported

        scan = TScan(
            startRow=self.start,
            stopRow=self.scan.stop or None,
            columns=list(self.scan.columns),
            caching=self.limits.batch_rows,  # what the gateway asks of a region server, which may cut it at 2 MB or not
            filterString=condition,
        )
        return int(client.scannerOpenWithScan(self.scan.table, scan, {}))


def _within(row_bytes: int, row: Row) -> Row:
    key, cells = row
    if isinstance(cells, Withheld) or size_of(row) <= row_bytes:
        return row
    return key, Withheld({name: len(value) for name, value in cells.items()})


def _told_size(value: bytes) -> int:
    return int.from_bytes(value, "big") if len(value) == _LENGTH_BYTES else len(value)


def _told_bytes(row: Row) -> int:
    cells = row[1]
    return sum(cells.sizes.values()) if isinstance(cells, Withheld) else size_of(row)


def size_of(row: Row) -> int:
    """Bytes of a row's key and of the cells it has."""
    key, cells = row
    if isinstance(cells, Withheld):
        return len(key)
    return len(key) + sum(len(name) + len(value) for name, value in cells.items())
