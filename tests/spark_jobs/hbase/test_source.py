"""The data source `hbase` on a real HBase: every row of the day once, whatever dies meanwhile."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date

import pytest

from deploy.services import up
from deploy.stack import Stack
from deploy.supervision import states
from spark_jobs import read_images
from spark_jobs.hbase import row_key
from spark_jobs.hbase.contents import count_between, has_day, table_names
from spark_jobs.hbase.scan import Gateway, Gateways, HBaseError, ReadLimits
from spark_jobs.hbase.source import HBaseImages, Source, count_rows, plan_slices, read_slice
from spark_jobs.hbase.table import IMAGE_COLUMN, RowWriter, ensure_table
from spark_jobs.pipeline import EXIT_MISTAKE
from spark_jobs.run_reports.reading import report_of
from spark_jobs.running import runner
from spark_jobs.settings import Settings

DAY, NEXT_DAY = date(2026, 11, 2), date(2026, 11, 3)
TABLE, OTHER_TABLE = "images_of_tests", "somebody_elses"
IMAGES = {f"sku-{number:04d}/{number % 2}": random.Random(number).randbytes(20_000 + number) for number in range(240)}
SMALL_STEPS = ReadLimits(batch_bytes=1 << 16, queue_bytes=1 << 16, patience_s=60)


@dataclass(frozen=True)
class Loaded:
    """A stack whose HBase holds the test tables."""

    stack: Stack
    settings: Settings

    def source(self, **changes: object) -> Source:
        return replace(Source(self.settings.gateways(), TABLE, DAY), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def loaded(hbase: Stack) -> Loaded:
    settings = Settings.from_environment(hbase.environment())
    gateways = Gateways(settings.gateways())
    assert ensure_table(gateways, TABLE, 4, settings.hbase_command) == 4
    writer = RowWriter(gateways, TABLE)
    for key, image in IMAGES.items():
        writer.put(row_key.row_key(DAY, key, 4), {IMAGE_COLUMN: image, b"m:title": f"Title of {key}".encode()})
    writer.put(row_key.row_key(NEXT_DAY, "sku-0001/0", 4), {IMAGE_COLUMN: b"next day"})
    writer.put(row_key.row_key(date(2026, 11, 1), "sku-0001/0", 4), {IMAGE_COLUMN: b"day before"})
    writer.flush()
    gateways.close()
    return Loaded(hbase, settings)


def read_all(source: Source) -> list[tuple[str, bytes | None]]:
    rows = [row for part in plan_slices(source) for batch in read_slice(source, part) for row in batch.to_pylist()]
    assert all(row["size_bytes"] == len(row["image"] or b"") for row in rows)
    return [(row["key"], row["image"]) for row in rows]


def assert_all_once(rows: list[tuple[str, bytes | None]]) -> None:
    assert len(rows) == len(IMAGES)
    assert dict(rows) == IMAGES


@pytest.mark.services
def test_the_rows_of_a_day_are_counted_by_their_keys(loaded: Loaded) -> None:
    settings = replace(loaded.settings, hbase_table=TABLE)
    assert [count_rows(settings, day) for day in (DAY, NEXT_DAY, date(2026, 12, 24))] == [len(IMAGES), 1, 0]
    assert count_between(settings, date(2020, 1, 1), date(2026, 12, 1)) == len(IMAGES) + 2
    assert count_between(settings, NEXT_DAY, date(2026, 12, 1)) == 1


@pytest.mark.services
def test_a_table_and_a_day_that_are_not_there_are_refused_before_a_session(loaded: Loaded) -> None:
    settings, other = replace(loaded.settings, hbase_table=TABLE), date(2026, 12, 24)
    assert TABLE in table_names(settings)
    assert [has_day(settings, TABLE, day) for day in (DAY, NEXT_DAY, other)] == [True, True, False]
    for line, said in {
        ("--day", str(DAY), "--table", "images_of_test"): "no table 'images_of_test'; did you mean images_of_tests?",
        ("--day", str(other)): f"no rows for day {other} in HBase table '{TABLE}'",
    }.items():
        code = runner.execute("read_images", read_images.plan, read_images.Options, ["--run", "r", *line], settings)
        report = report_of(settings.reports, "read_images", line[1], "r")
        assert report is not None and code == EXIT_MISTAKE and said in report["error"]


def test_options_are_checked() -> None:
    given = {"gateways": "a:1,b:2", "table": "t", "day": "2026-11-02", "slices": "3", "patience_s": "2.5"}
    source = Source.parsed(given)
    assert (source.gateways, source.slices, source.limits.patience_s) == ((("a", 1), ("b", 2)), 3, 2.5)
    with pytest.raises(ValueError, match=r"missing options \['table'\], unknown options \['tabel'\]"):
        Source.parsed({"gateways": "a:1", "tabel": "t", "day": "2026-11-02"})


@pytest.mark.services
@pytest.mark.parametrize("slices", [1, 3])
def test_slices_cover_the_day(loaded: Loaded, slices: int) -> None:
    source = loaded.source(slices=slices)
    parts = plan_slices(source)
    assert len(parts) >= 4 * slices - 4
    assert {part.start[:1] for part in parts} == {b"0", b"1", b"2", b"3"}
    assert_all_once(read_all(source))
    assert read_all(replace(source, day=NEXT_DAY)) == [("sku-0001/0", b"next day")]
    assert read_all(replace(source, day=date(2026, 12, 1))) == []


@pytest.mark.services
def test_any_bytes_may_be_a_key_and_a_row_that_is_not_ours_has_a_reason(loaded: Loaded) -> None:
    day, gateways = date(2026, 12, 5), Gateways(loaded.settings.gateways())
    keys = [b"a\xff/0", rb"a\xff/0", b"nul\x00", b"nul", b"\x00", b"k" * 32_756, "größe 7/1".encode(), b"\xff" * 32_756]
    names = [rb"a\xff/0", rb"a\x5cxff/0", rb"nul\x00", b"nul", rb"\x00", b"k" * 32_756, keys[6], rb"\xff" * 32_756]
    expected = {name.decode(): ("ok", key[:99]) for name, key in zip(names, keys, strict=True)}
    ours = {row_key.row_key(day, name, 4): image for name, (_, image) in expected.items()}
    elsewhere = row_key.row_key(day, "nul", 4)
    foreign = {b"0/20261205/": b"nameless", b"%d" % (3 - int(elsewhere[:1])) + elsewhere[1:]: b"another salt"}
    expected |= {row.decode().replace("/", r"\x2f", 1): ("foreign_row", image) for row, image in foreign.items()}
    writer = RowWriter(gateways, TABLE)
    for row, image in (ours | foreign).items():
        writer.put(row, {IMAGE_COLUMN: image})
    writer.flush()
    gateways.close()
    for slices in (1, 3):
        source = loaded.source(day=day, slices=slices)
        rows = [row for part in plan_slices(source) for batch in read_slice(source, part) for row in batch.to_pylist()]
        assert len(rows) == len(expected)
        assert {row["key"]: (row["reason"], row["image"]) for row in rows} == expected
    assert count_rows(replace(loaded.settings, hbase_table=TABLE), day) == len(expected)


@pytest.mark.services
def test_rows_that_grow_and_one_that_no_gateway_delivers(loaded: Loaded) -> None:
    day, gateways = date(2026, 12, 6), Gateways(loaded.settings.gateways())
    sizes = {f"sku-1/{number:03d}": 100 if number < 40 else 60_000 for number in range(60)} | {"sku-1/050": 2_000_000}
    writer = RowWriter(gateways, TABLE)
    for key, size in sizes.items():
        writer.put(row_key.row_key(day, key, 4), {IMAGE_COLUMN: bytes(size), b"m:day": str(day).encode()})
    writer.flush()
    gateways.close()
    limits = ReadLimits(batch_bytes=150_000, row_bytes=1_000_000)
    with dying_proxy(loaded.settings.gateways()[0], bytes_each=1_500_000) as (proxy, _):
        for day_column in ("", "m:day"):  # the sizes are asked for with and without another filter
            source = loaded.source(day=day, limits=limits, gateways=(proxy,), day_column=day_column)
            batches = [batch.to_pylist() for part in plan_slices(source) for batch in read_slice(source, part)]
            assert all(sum(len(row["image"] or b"") for row in batch) <= 150_000 for batch in batches)
            rows = {row["key"].rpartition("sku")[2]: row for batch in batches for row in batch}
            assert {f"sku{key}": row["size_bytes"] for key, row in rows.items()} == sizes
            large = rows.pop("-1/050")
            assert (large["reason"], large["image"], large["metadata"]) == ("too_many_bytes", None, [])
            assert {row["reason"] for row in rows.values()} == {"ok"}


@pytest.mark.services
def test_limit_and_metadata(loaded: Loaded) -> None:
    source = loaded.source(limit=3)
    rows = [row for batch in read_slice(source, plan_slices(source)[0]) for row in batch.to_pylist()]
    assert [dict(row["metadata"]) for row in rows] == [{"title": f"Title of {row['key']}"} for row in rows]
    assert len(rows) == 3


@pytest.mark.services
def test_day_from_a_metadata_column(loaded: Loaded) -> None:
    gateways = Gateways(loaded.settings.gateways())
    gateways.ask(OTHER_TABLE, create_plain_table)
    writer = RowWriter(gateways, OTHER_TABLE)
    expected = {}
    for number in range(60):
        day, row = (DAY if number % 3 else NEXT_DAY), os.urandom(1) + f"-it's {number}".encode()
        cells = {b"meta:fetched": f"{day}T{number % 24:02d}:00".encode(), b"meta:shop": b"x"}
        if number % 5:
            cells[b"pic:jpeg"] = str(number).encode()
        if number % 7 == 0:
            del cells[b"meta:fetched"]
        writer.put(row, cells)
        if b"meta:fetched" in cells and day == DAY:
            expected[row_key.key_text(row)] = cells.get(b"pic:jpeg")
    writer.flush()
    gateways.close()
    source = loaded.source(
        table=OTHER_TABLE, day_column="meta:fetched", image_column="pic:jpeg", metadata_family="meta"
    )
    for slices in (1, 4):
        rows = read_all(replace(source, slices=slices))
        assert (len(rows), dict(rows)) == (len(expected), expected)


def create_plain_table(client: object) -> None:
    from Hbase_thrift import ColumnDescriptor

    families = [ColumnDescriptor(name=name) for name in (b"pic:", b"meta:")]
    client.createTable(OTHER_TABLE.encode(), families)  # type: ignore[attr-defined]


@pytest.mark.services
def test_gateway_killed_during_the_read(loaded: Loaded) -> None:
    source = loaded.source(limits=SMALL_STEPS)
    rows, is_killed = [], False
    for part in plan_slices(source):
        for batch in read_slice(source, part):
            rows += [(row["key"], row["image"]) for row in batch.to_pylist()]
            if not is_killed:
                os.kill(states(loaded.stack)["thrift"].pid, signal.SIGKILL)
                is_killed = True
    assert_all_once(rows)
    up(loaded.stack, ("thrift",))


@pytest.mark.services
def test_connections_that_break_and_a_dead_gateway(loaded: Loaded) -> None:
    with dying_proxy(loaded.settings.gateways()[0], bytes_each=300_000) as (proxy, connections), free_port() as dead:
        source = loaded.source(gateways=(("127.0.0.1", dead), proxy), limits=SMALL_STEPS)
        assert_all_once(read_all(source))
        assert len(connections) > 10


@pytest.mark.services
def test_clear_errors_once_patience_is_over(loaded: Loaded) -> None:
    with pytest.raises(HBaseError, match="no table 'absent'"):
        plan_slices(loaded.source(table="absent"))
    with pytest.raises(HBaseError, match=r"has the families \[i, m\], expected also \[pictures\]"):
        plan_slices(loaded.source(image_column="pictures:jpeg"))
    with free_port() as dead, pytest.raises(HBaseError, match=f"no Thrift gateway of \\[127.0.0.1:{dead}\\] answered"):
        plan_slices(loaded.source(gateways=(("127.0.0.1", dead),), limits=ReadLimits(patience_s=1)))


@pytest.mark.services
@pytest.mark.spark
def test_read_by_spark(loaded: Loaded, connect_server: Stack) -> None:
    from spark_jobs.running import sessions

    settings = Settings.from_environment(connect_server.environment())
    spark = sessions.connected(settings.connect_url, settings)
    try:
        spark.dataSource.register(HBaseImages)
        source = spark.read.format("hbase").options(gateways=settings.hbase_gateways, table=TABLE, day=str(DAY))
        assert_all_once([(row.key, bytes(row.image)) for row in source.load().select("key", "image").collect()])
        with pytest.raises(Exception, match="HBase has no table 'absent'"):
            source.options(table="absent").load().count()
    finally:
        spark.stop()


@contextmanager
def free_port() -> Iterator[int]:
    """A port on which nobody listens, kept while the block runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@contextmanager
def dying_proxy(target: Gateway, bytes_each: int) -> Iterator[tuple[Gateway, list[socket.socket]]]:
    """A gateway that cuts each connection in the middle of a reply, after so many bytes; and its connections so far."""
    connections: list[socket.socket] = []

    def forward(source: socket.socket, sink: socket.socket, limit: float) -> None:
        with suppress(OSError):
            while limit > 0 and (data := source.recv(65536)):
                sink.sendall(data[: int(min(limit, len(data)))])
                limit -= len(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, server = listener.accept()[0], socket.create_connection(target)
                connections.append(client)
                threading.Thread(target=forward, args=(client, server, float("inf")), daemon=True).start()
                threading.Thread(target=forward, args=(server, client, bytes_each), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname(), connections
        listener.shutdown(socket.SHUT_RDWR)
