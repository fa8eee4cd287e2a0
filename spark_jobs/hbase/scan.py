"""Read a range of an HBase table through its Thrift gateways, surviving their failures, ahead of the consumer.

happybase is serial: ask, wait, receive. Here a thread asks while the consumer works, with a queue bounded by bytes
between them. After any error the connection is dropped (an interrupted reply leaves it in an unknown state), the next
gateway is tried after a pause, and the scan goes on behind the last row received: every row once.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import happybase

log = logging.getLogger(__name__)

Gateway = tuple[str, int]
Row = tuple[bytes, dict[bytes, bytes]]
"""Row key, and cells by `family:qualifier`."""
Answer = TypeVar("Answer")

_FIRST_BATCH, _MOST_ROWS = 4, 1000
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_CONNECT_TIMEOUT_S = 5.0


class HBaseError(RuntimeError):
    """HBase cannot give what was asked for; trying again now is no use."""


class CellTooLarge(HBaseError):
    """HBase does not take a cell of this size (`hbase.client.keyvalue.maxsize`, `hbase.server.keyvalue.maxsize`)."""


@dataclass(frozen=True)
class ReadLimits:
    """How a table is read: bytes per reply and in the queue, and patience in seconds.

    call_timeout_s: for one call of a gateway.   patience_s: how long in all without one new row.
    """

    batch_bytes: int = 4 << 20
    queue_bytes: int = 32 << 20
    call_timeout_s: float = 60.0
    patience_s: float = 120.0


@dataclass(frozen=True)
class Scan:
    """The rows from `start` to before `stop` (empty: to the end), the given columns of them.

    columns: `family:qualifier`, or `family` for all of a family.   condition: a filter in HBase's filter language,
    which the region servers apply.
    """

    table: bytes
    columns: tuple[bytes, ...]
    start: bytes = b""
    stop: bytes = b""
    condition: bytes | None = None


def explain(error: Exception) -> str:
    """One line of what a Thrift server reported: Java's exception without its stack."""
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return text.split("\n", 1)[0][:300]


def permanent(error: Exception, scan_of: str) -> HBaseError | None:
    """What will not pass by trying again, as an error that says what to do; None for anything else."""
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
    """A connection to one of several Thrift servers, replaced by one to the next after any error.

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
        """The Thrift client of the present gateway, connected. Raises TException or OSError."""
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
            HBaseError: the table or a family is missing, or nobody answered for `patience_s`.
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
                    raise HBaseError(self._no_answer(patience_s, error)) from error
                log.warning("HBase: %s; trying again", explain(error))
                failures += 1
                if failures % len(self.addresses) == 0:  # each gateway has failed
                    time.sleep(_pause_s(failures // len(self.addresses) - 1))

    def _no_answer(self, patience_s: float, error: Exception) -> str:
        where = ", ".join(f"{host}:{port}" for host, port in self.addresses)
        return (
            f"HBase: no Thrift gateway of [{where}] answered within {patience_s:.0f} s (last: {explain(error)}); "
            "start one, or set PIPELINE_HBASE_GATEWAYS=host:port,host:port; one that connects but does not answer may "
            f"want another PIPELINE_HBASE_WIRE than {self.wire}"
        )


def _one_of(host: str, port: int, turn: int) -> Gateway:
    """An address behind a host name; each turn another one, since a name may stand for several servers."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(entry[4][0]) for entry in found if entry[0] == found[0][0]})
    return addresses[turn % len(addresses)], port


def _pause_s(rounds: int) -> float:
    return _PAUSES_S[min(rounds, len(_PAUSES_S) - 1)]


def scan_batches(gateways: Gateways, scan: Scan, limits: ReadLimits) -> Generator[list[Row], None, None]:
    """Yield the rows of a scan in batches of about `limits.batch_bytes`, each row once, whatever fails meanwhile.

    The gateways are closed at the end.

    Raises:
        HBaseError: the table or a family is missing, or no new row came for `limits.patience_s`.
    """
    table, start, rows_read, bytes_read = scan.table.decode(), scan.start, 0, 0
    scanner: int | None = None

    def fetch(client: Any) -> list[Row]:
        """The next rows from one gateway, of a scanner that is opened anew when it or its gateway has died."""
        nonlocal scanner
        try:
            if scanner is None:
                scanner = client.scannerOpenWithScan(scan.table, _thrift_scan(scan, start), {})
            answer = client.scannerGetList(scanner, _rows_per_batch(rows_read, bytes_read, limits))
        except Exception:
            scanner = None  # it died with its connection
            raise
        return [(row.row, {name: cell.value for name, cell in row.columns.items()}) for row in answer]

    try:
        while batch := gateways.ask(table, fetch, limits.patience_s):
            start = batch[-1][0] + b"\x00"
            rows_read += len(batch)
            bytes_read += sum(size_of(row) for row in batch)
            yield batch
        with contextlib.suppress(Exception):  # a scanner that stays open ends with its lease
            gateways.client().scannerClose(scanner)
    finally:
        gateways.close()


def _thrift_scan(scan: Scan, start: bytes) -> Any:
    from Hbase_thrift import TScan  # made by happybase when it is imported

    return TScan(
        startRow=start,
        stopRow=scan.stop or None,
        columns=list(scan.columns),
        caching=_MOST_ROWS,  # region servers cut their replies at 2 MB anyway
        filterString=scan.condition,
    )


def _rows_per_batch(rows_read: int, bytes_read: int, limits: ReadLimits) -> int:
    if rows_read == 0:
        return _FIRST_BATCH
    average = max(1, bytes_read // rows_read)
    return min(_MOST_ROWS, max(_FIRST_BATCH, limits.batch_bytes // average))


def size_of(row: Row) -> int:
    """Bytes of a row's key and cells."""
    key, cells = row
    return len(key) + sum(len(name) + len(value) for name, value in cells.items())


@dataclass
class ReadAhead:
    """Runs an iterator of batches in a thread, at most `queue_bytes` ahead of the consumer.

    waited_s: how long the consumer has waited for a batch in all.
    """

    batches: Generator[list[Row], None, None]
    queue_bytes: int
    waited_s: float = 0.0
    _queue: deque[tuple[int, list[Row]]] = field(default_factory=deque, repr=False)
    _change: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _bytes: int = 0
    _is_over: bool = False
    _error: BaseException | None = None

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield the batches; an error of the reading thread is raised here, after the batches before it."""
        threading.Thread(target=self._read, name="hbase-read-ahead", daemon=True).start()
        try:
            while (batch := self._next()) is not None:
                yield batch
        finally:
            with self._change:
                self._is_over = True
                self._change.notify_all()
        if self._error is not None:
            raise self._error

    def _next(self) -> list[Row] | None:
        start = time.perf_counter()
        with self._change:
            self._change.wait_for(lambda: self._queue or self._is_over)
            self.waited_s += time.perf_counter() - start
            if not self._queue:
                return None
            size, batch = self._queue.popleft()
            self._bytes -= size
            self._change.notify_all()
            return batch

    def _read(self) -> None:
        try:
            for batch in self.batches:
                if not self._put(batch):
                    return
        except BaseException as error:
            self._error = error
        finally:
            self.batches.close()
            with self._change:
                self._is_over = True
                self._change.notify_all()

    def _put(self, batch: list[Row]) -> bool:
        """Wait for room, then queue the batch; False when the consumer has gone. One batch always fits."""
        size = sum(size_of(row) for row in batch)
        with self._change:
            self._change.wait_for(lambda: self._is_over or not self._queue or self._bytes + size <= self.queue_bytes)
            if self._is_over:
                return False
            self._queue.append((size, batch))
            self._bytes += size
            self._change.notify_all()
            return True
