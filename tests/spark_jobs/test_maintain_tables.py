"""Maintenance removes what nobody reads any more, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from data_contracts.features import FEATURES
from data_contracts.raw_images import RAW_IMAGES
from dlcore.search.manifest import remove_old
from spark_jobs import maintain_tables
from spark_jobs.maintain_tables import Options
from spark_jobs.pipeline import EXIT_OK, EXIT_WRONG_LINE
from spark_jobs.running import publishing, runner
from spark_jobs.settings import Settings
from tests.spark_jobs import small_job
from tests.spark_jobs.lake import Lake

TABLE = "lake.pipeline.raw_images"
DAY = "2026-03-01"
THREE_DAYS_S = 3 * 24 * 3600


@pytest.mark.spark
def test_a_quiet_day_is_compacted_and_old_orphans_go(lake: Lake) -> None:
    arguments = ["--day", DAY, "--run", "published", "--remote", lake.remote(), "--rows", "40", "--files", "4"]
    assert runner.execute(small_job.STAGE, small_job.plan, small_job.Options, arguments, lake.settings) == EXIT_OK
    spark = lake.connect()
    staged = _stage_unpublished(spark)
    for name in ("staging_20260101_old", f"staging_{datetime.now(UTC):%Y%m%d}_young", "somebody_elses"):
        spark.sql(f"ALTER TABLE {TABLE} CREATE BRANCH {name}")
    made = branches_of(spark)
    folder = Path(urlsplit(lake.settings.warehouse).path) / "pipeline" / "raw_images" / "data" / f"day={DAY}"
    old, young = folder / "old-orphan.parquet", folder / "young-orphan.parquet"
    for orphan in (old, young):
        orphan.write_bytes(b"nobody's")
    os.utime(old, (time.time() - THREE_DAYS_S,) * 2)

    line = ["--run", "maintenance", "--remote", lake.remote(), "--quiet-hours", "0", "--keep-days", "2"]
    with readers_meanwhile(lake) as seen:
        assert runner.execute("maintain_tables", maintain_tables.plan, Options, line, lake.settings) == EXIT_OK
    assert len(seen) > 2 and set(seen) == {40}

    files = spark.sql(f"SELECT file_count FROM {TABLE}.partitions WHERE partition.day = DATE '{DAY}'").collect()
    assert [row["file_count"] for row in files] == [1]
    assert spark.table(TABLE).where(f"day = DATE '{DAY}'").count() == 40
    assert (old.exists(), young.exists()) == (False, True)
    assert branches_of(spark) == made - {"staging_20260101_old"}
    for name in made - {"staging_20260101_old", "main"}:
        spark.sql(f"ALTER TABLE {TABLE} DROP BRANCH {name}")
    assert publishing.read_snapshot(spark, TABLE, staged).where(f"day = DATE '{DAY}'").count() == 40
    spark.stop()


def branches_of(spark: Any) -> set[str]:
    """The table's branches, those that killed attempts of other tests have left included."""
    return {row["name"] for row in spark.sql(f"SELECT name FROM {TABLE}.refs").collect()}


@contextmanager
def readers_meanwhile(lake: Lake) -> Iterator[list[int]]:
    """Read the day all the while, pinned to the snapshot of the beginning and unpinned; the numbers of rows that were
    seen."""
    reader, seen, is_over = lake.connect(), [], Event()
    pinned = publishing.current_snapshot(reader, TABLE)
    assert pinned is not None

    def read() -> None:
        while True:
            for rows in (publishing.read_snapshot(reader, TABLE, pinned), reader.table(TABLE)):
                seen.append(len(rows.where(f"day = DATE '{DAY}'").select("image").collect()))
            if is_over.is_set():
                return

    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read)
        try:
            yield seen
        finally:
            is_over.set()
            reading.result()
            reader.stop()


def _stage_unpublished(spark: object) -> int:
    identity = publishing.wap_id("unpublished", 1)
    rows = spark.table(TABLE).where(f"day = DATE '{DAY}'")  # type: ignore[attr-defined]
    staged = publishing.stage_rows(rows, TABLE, identity, None)
    assert staged is not None
    return staged.snapshot


@pytest.mark.spark
def test_of_a_named_set_of_codes_only_its_own_tables_are_maintained(lake: Lake) -> None:
    spark = lake.connect()
    orphans = {}
    for table, contract in (("raw_images", RAW_IMAGES), ("features_v2", FEATURES)):
        publishing.ensure_table(spark, f"lake.pipeline.{table}", contract)
        folder = Path(urlsplit(lake.settings.warehouse).path) / "pipeline" / table / "data"
        folder.mkdir(exist_ok=True)
        for days in (3, 8):
            orphans[table, days] = folder / f"orphan-of-{days}-days.parquet"
            orphans[table, days].write_bytes(b"nobody's")
            os.utime(orphans[table, days], (time.time() - days * 24 * 3600,) * 2)
    line = ["--run", "of_codes", "--remote", lake.remote(), "--codes", "v2"]
    assert runner.execute("maintain_tables", maintain_tables.plan, Options, line, lake.settings) == EXIT_OK
    assert set(lake.report("maintain_tables", None, "of_codes")["extra"]["tables"]) == {"features"}
    assert [place for place, orphan in orphans.items() if not orphan.exists()] == [("features_v2", 8)]
    spark.sql("DROP TABLE lake.pipeline.features_v2")
    spark.stop()


def test_snapshots_that_runs_may_read_are_not_expired() -> None:
    settings = Settings.from_environment({})
    with pytest.raises(SystemExit) as stop:
        runner.execute(
            "maintain_tables", maintain_tables.plan, Options, ["--run", "greedy", "--keep-days", "1"], settings
        )
    assert stop.value.code == EXIT_WRONG_LINE
    with pytest.raises(ValueError, match="expected at least 2: runs read old snapshots"):
        maintain_tables.plan(SimpleNamespace(options=Options(keep_days=1)))


def test_the_newest_versions_of_the_index_stay(tmp_path: Path) -> None:
    names = [f"{number:06d}-{'ab' * 6}" for number in range(1, 6)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.json").write_text("{}")
    assert remove_old(f"file://{tmp_path}", 2) == names[:3]
    assert sorted(path.name for path in tmp_path.iterdir()) == names[3:]
    with pytest.raises(ValueError, match="expected at least 1"):
        remove_old(f"file://{tmp_path}", 0)
