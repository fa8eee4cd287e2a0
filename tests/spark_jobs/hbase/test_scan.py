"""A scan gets every row once, asks for no more than a gateway can hold, and one huge row does not end it."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from spark_jobs.hbase import scan as scan_module
from spark_jobs.hbase.scan import Gateways, NoAnswer, ReadLimits, Row, Scan, Withheld, scan_batches, size_of

HEAP_BYTES = 256 << 20
IMAGE = b"i:image"
EVERYTHING = Scan(b"t", (b"i", b"m"))


@dataclass
class Server:
    """A table behind a Thrift server of so much heap: a reply that does not fit kills it, and the connection with
    it."""

    sizes: dict[bytes, int]
    heap_bytes: int = HEAP_BYTES
    failure_share: float = 0.0
    random: random.Random = field(default_factory=lambda: random.Random(0))
    deaths: int = 0
    largest_reply: int = 0
    most_rows: int = 0
    hidden: set[bytes] = field(default_factory=set)
    """Rows of which not even the size is told."""


class Client:
    """The calls of happybase's Thrift client that a scan makes."""

    def __init__(self, server: Server) -> None:
        self.server, self.scanners = server, dict[int, tuple[Iterator[bytes], bool]]()

    def scannerOpenWithScan(self, table: bytes, scan: Any, attributes: Any) -> int:
        self._fail()
        rows = iter([row for row in sorted(self.server.sizes) if row >= scan.startRow])
        self.scanners[len(self.scanners)] = rows, b"KeyOnlyFilter(true)" in (scan.filterString or b"")
        return len(self.scanners) - 1

    def scannerGetList(self, scanner: int, count: int) -> list[Any]:
        self._fail()
        rows, is_sizes = self.scanners[scanner]
        found = list(islice(rows, count))
        if is_sizes:
            if self.server.hidden & set(found):
                raise OSError("region server does not answer")
            return [answer(row, struct.pack(">I", self.server.sizes[row])) for row in found]
        self.server.most_rows = max(self.server.most_rows, count)
        size = sum(self.server.sizes[row] for row in found)
        self.server.largest_reply = max(self.server.largest_reply, size)
        if size > self.server.heap_bytes:
            self.server.deaths += 1
            raise OSError("TSocket read 0 bytes")
        return [answer(row, bytes(self.server.sizes[row])) for row in found]

    def scannerClose(self, scanner: int) -> None:
        del self.scanners[scanner]

    def _fail(self) -> None:
        if self.server.random.random() < self.server.failure_share:
            raise OSError("connection reset")


def answer(row: bytes, value: bytes) -> Any:
    return SimpleNamespace(row=row, columns={IMAGE: SimpleNamespace(value=value)})


@dataclass
class Connected(Gateways):
    """Two gateways to the same server."""

    server: Server = field(default_factory=lambda: Server({}))

    def client(self) -> Any:
        if self._connection is None:
            self._connection = Client(self.server)
        return self._connection


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_pause_s", lambda rounds: 0.0)


def read(server: Server, limits: ReadLimits) -> list[list[Row]]:
    gateways = Connected([("a", 1), ("b", 2)], server=server)
    return list(scan_batches(gateways, EVERYTHING, limits))


def table_of(sizes: Sequence[int]) -> dict[bytes, int]:
    return {b"%05d" % number: size for number, size in enumerate(sizes)}


def assert_all(server: Server, batches: list[list[Row]], withheld: Sequence[bytes] = ()) -> None:
    rows = [row for batch in batches for row in batch]
    assert [key for key, _ in rows] == sorted(server.sizes)
    for key, cells in rows:
        if key in withheld:
            assert cells == Withheld({IMAGE: server.sizes[key]})
        else:
            assert cells == {IMAGE: bytes(server.sizes[key])}


def test_rows_that_grow_a_thousandfold_kill_no_gateway() -> None:
    server = Server(table_of([4_000] * 300 + [5_000_000] * 20 + [40] * 50))
    assert_all(server, read(server, ReadLimits()))
    assert server.deaths == 0


def test_replies_grow_by_doubling_and_keep_to_their_bytes() -> None:
    server = Server(table_of([1_000] * 400))
    batches = read(server, ReadLimits(batch_bytes=50_000, batch_rows=1000))
    assert [len(batch) for batch in batches[:6]] == [1, 2, 4, 8, 16, 32]
    assert max(len(batch) for batch in batches) == 50_000 // size_of((b"00000", {IMAGE: bytes(1_000)}))
    assert_all(server, batches)


@pytest.mark.parametrize("seed", range(3))
def test_each_row_once_whatever_fails(seed: int) -> None:
    sizes = random.Random(seed).choices([0, 4, 700, 90_000], k=600)
    server = Server(table_of(sizes), failure_share=0.2, random=random.Random(seed))
    assert_all(server, read(server, ReadLimits(batch_bytes=20_000)))


def test_after_a_failure_one_row_is_asked_for() -> None:
    """A heap of four rows: the fifth in a reply kills the gateway, again and again if it is asked for again."""
    server = Server(table_of([100_000] * 40), heap_bytes=400_000)
    assert_all(server, read(server, ReadLimits()))
    assert server.deaths <= 40 // (1 + 2 + 4) + 1  # replies of 1, 2 and 4 rows between two deaths


def test_a_row_beyond_the_limit_is_withheld_whether_it_arrives_or_kills() -> None:
    limits = ReadLimits(batch_bytes=10_000, row_bytes=50_000)
    arrives = Server(table_of([100, 60_000, 100, 100]))
    assert_all(arrives, read(arrives, limits), [b"00001"])
    kills = Server(table_of([100, 60_000, 100, 100]), heap_bytes=55_000)
    assert_all(kills, read(kills, limits), [b"00001"])
    assert 1 <= kills.deaths <= 2  # its size alone was asked for then


def test_a_large_row_that_no_gateway_delivers_is_given_up_after_a_while() -> None:
    server = Server(table_of([100, 60_000, 100]), heap_bytes=55_000)
    assert_all(server, read(server, ReadLimits(batch_bytes=10_000, patience_s=0.3)), [b"00001"])


@pytest.mark.parametrize(("batch_bytes", "hidden"), [(100_000, set()), (10_000, {b"00001"})], ids=["small", "untold"])
def test_a_row_that_is_not_known_to_be_large_is_never_given_up(batch_bytes: int, hidden: set[bytes]) -> None:
    server = Server(table_of([100, 60_000, 100]), heap_bytes=55_000, hidden=hidden)
    with pytest.raises(NoAnswer, match="no Thrift gateway"):
        read(server, ReadLimits(batch_bytes=batch_bytes, patience_s=0.3))


def test_behind_a_row_key_of_the_greatest_length() -> None:
    longest = [b"a" * 32_767, b"a" * 32_766 + b"b", b"\xff" * 32_767]
    server = Server(dict.fromkeys([b"a", *longest, b"c"], 10))
    assert_all(server, read(server, ReadLimits()))
