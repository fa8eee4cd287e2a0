"""Writing rows: one that HBase does not take for its size ends nothing, and as much of it as possible is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import happybase  # noqa: F401  # makes Hbase_thrift
import pytest

from spark_jobs.hbase import scan as scan_module
from spark_jobs.hbase import table as table_module
from spark_jobs.hbase.scan import Gateways, NoAnswer
from spark_jobs.hbase.table import ERROR_COLUMN, IMAGE_COLUMN, RowWriter

KIB = 1 << 10
TITLE, TEXT = b"m:title", b"m:text"


@dataclass
class Client:
    """A table whose cells are limited, behind a gateway that dies of a message which its heap does not hold."""

    cell_bytes: int = 1 << 40
    heap_bytes: int = 1 << 40
    rows: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    looked_up: list[int] = field(default_factory=list)

    def mutateRows(self, table: bytes, batch: list[Any], attributes: Any) -> None:
        values = [mutation.value or b"" for row in batch for mutation in row.mutations]
        if sum(map(len, values)) > self.heap_bytes:
            raise OSError("TSocket read 0 bytes")
        if max(map(len, values)) > self.cell_bytes:
            raise RuntimeError("java.lang.IllegalArgumentException: KeyValue size too large")
        for row in batch:
            cells = self.rows.setdefault(row.row, {})
            for mutation in row.mutations:
                cells.pop(mutation.column, None)
                if not mutation.isDelete:
                    cells[mutation.column] = mutation.value

    def getRowsWithColumns(self, table: bytes, rows: list[bytes], columns: list[bytes], attributes: Any) -> list[Any]:
        self.looked_up.append(len(rows))
        found = {row: [name for name in self.rows.get(row, {}) if name[:1] in columns] for row in rows}
        if sum(len(self.rows[row][name]) for row, names in found.items() for name in names) > self.heap_bytes:
            raise OSError("TSocket read 0 bytes")
        return [SimpleNamespace(row=row, columns=dict.fromkeys(names)) for row, names in found.items() if names]


@dataclass
class Connected(Gateways):
    """One gateway."""

    server: Client = field(default_factory=Client)

    def client(self) -> Any:
        return self.server


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proportions as in earnest, with a thousandth of the bytes."""
    monkeypatch.setattr(table_module, "BATCH_BYTES", 8 * KIB)
    monkeypatch.setattr(table_module, "MESSAGE_BYTES", 90 * KIB)
    monkeypatch.setattr(table_module, "_LARGE_CELL_BYTES", KIB)
    monkeypatch.setattr(scan_module, "_pause_s", lambda rounds: 0.0)


def writer_to(server: Client, family: str = "") -> RowWriter:
    return RowWriter(Connected([("a", 1)], server=server), "t", patience_s=0.2, replaced_family=family)


CASES = {
    "image": (60 * KIB, 10, "image"),
    "metadata": (10, 60 * KIB, "metadata"),
    "both": (60 * KIB, 60 * KIB, "image and metadata"),
    "together": (60 * KIB, 35 * KIB, "image"),  # neither alone: more than a message of 90 KiB
}


@pytest.mark.parametrize("limits", [{"cell_bytes": 50 * KIB}, {"heap_bytes": 50 * KIB}], ids=["cell", "heap"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_too_large_is_left_out_and_said(case: str, limits: dict[str, int]) -> None:
    image_bytes, text_bytes, lost = CASES[case]
    server = Client(**limits)
    writer = writer_to(server)
    small = {IMAGE_COLUMN: b"small", TITLE: b"x", ERROR_COLUMN: None}
    writer.put(b"1", small)
    writer.put(b"2", {IMAGE_COLUMN: bytes(image_bytes), TITLE: b"a hat", TEXT: bytes(text_bytes), ERROR_COLUMN: None})
    writer.put(b"3", small)
    writer.flush()
    row = server.rows.pop(b"2")
    assert server.rows == {key: {IMAGE_COLUMN: b"small", TITLE: b"x"} for key in (b"1", b"3")}
    assert row[TITLE] == b"a hat"
    assert (IMAGE_COLUMN in row, TEXT in row) == ("image" not in lost, "metadata" not in lost)
    assert (list(writer.refused), list(writer.refused_metadata)) == (
        [b"2"] * ("image" in lost),
        [b"2"] * ("metadata" in lost),
    )
    assert row[ERROR_COLUMN].startswith(b"HBase refused " + lost.split()[0].encode().replace(b"image", b"an image"))


def test_gateways_that_take_nothing_end_the_load() -> None:
    writer = writer_to(Client(heap_bytes=0))
    with pytest.raises(NoAnswer):
        writer.put(b"1", {IMAGE_COLUMN: bytes(60 * KIB)})


def test_metadata_of_an_earlier_load_go() -> None:
    server = Client()
    for cells in ({TITLE: b"one", TEXT: b"long"}, {TITLE: b"two", b"m:new": b"x"}):
        writer = writer_to(server, "m")
        for number in range(120):
            writer.put(b"%d" % number, {IMAGE_COLUMN: b"image", **cells})
        writer.put(b"large", {IMAGE_COLUMN: bytes(9 * KIB), **cells})
        writer.flush()
    assert set(map(frozenset, server.rows.values())) == {frozenset({IMAGE_COLUMN, TITLE, b"m:new"})}
    assert {cells[TITLE] for cells in server.rows.values()} == {b"two"}


def test_large_metadata_are_looked_up_one_row_at_a_time_after_a_failure() -> None:
    server = Client(heap_bytes=4 * KIB, rows={b"%d" % number: {TEXT: bytes(3 * KIB)} for number in range(5)})
    writer = writer_to(server, "m")
    for number in range(5):
        writer.put(b"%d" % number, {IMAGE_COLUMN: b"image"})
    writer.flush()
    assert server.rows == {b"%d" % number: {IMAGE_COLUMN: b"image"} for number in range(5)}
    assert server.looked_up[:3] == [5, 1, 2]
