"""Staging on one table by many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Barrier
from typing import Any

import pytest

from data_contracts.raw_images import RAW_IMAGES
from data_contracts.withdrawn import WITHDRAWN
from spark_jobs import maintain_tables
from spark_jobs.running.lineage import State, state_of
from spark_jobs.running.publishing import (
    INPUT,
    TOLD,
    ChangedPartition,
    Part,
    current_snapshot,
    ensure_table,
    publish,
    published_by,
    row_count,
    stage_rows,
    wap_id,
)
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

TABLE = "lake.staged_at_once.raw_images"
WHOLE = "lake.staged_by_key.withdrawn"
AT_ONCE = 4


def test_many_stage_on_a_table_at_once_and_leave_no_branch(lake: Lake) -> None:
    sessions = [lake.connect() for _ in range(AT_ONCE)]
    ensure_table(sessions[0], TABLE, RAW_IMAGES)
    before = current_snapshot(sessions[0], TABLE)
    ready = Barrier(AT_ONCE)

    def stage(number: int, spark: Any) -> int:
        day = date(2026, 3, 1 + number)
        row = {"day": day, "key": "a/0", "reason": "ok"}
        schema = RAW_IMAGES.spark_schema()
        frame = spark.createDataFrame([tuple(row.get(field.name) for field in schema)], schema)
        ready.wait()
        staged = stage_rows(frame, TABLE, wap_id(f"run-{number}", 1), day)
        assert staged is not None
        return staged.rows

    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            assert list(threads.map(stage, range(AT_ONCE), sessions)) == [1] * AT_ONCE
        names = [row["name"] for row in sessions[0].sql(f"SELECT name FROM {TABLE}.refs").collect()]
        assert names == ["main"]
        assert current_snapshot(sessions[0], TABLE) == before
    finally:
        for spark in sessions:
            spark.stop()


def test_what_a_killed_merge_left_in_the_session_is_not_said_of_other_rows(lake: Lake) -> None:
    table, left = f"{WHOLE}_later", "spark.sql.iceberg.snapshot-property.told.list"
    spark = lake.connect()
    try:
        ensure_table(spark, table, WITHDRAWN)
        spark.conf.set(left, "of another run")
        staged = stage_rows(decisions(spark, ("a", "1")), table, wap_id("run-1", 1), None)
        assert staged is not None
        assert state_of(spark, table, staged.snapshot, None) == State(staged.snapshot, {}, {})
        assert spark.conf.get(left, None) is None
    finally:
        spark.stop()


def decisions(spark: Any, *rows: tuple[str, str]) -> Any:
    """Rows of `withdrawn`, which has no days: a key and why."""
    schema = WITHDRAWN.spark_schema()
    told = [
        {"key": key, "reason": "withdrawn", "why": why, "at": datetime(2026, 11, 1, tzinfo=UTC)} for key, why in rows
    ]
    return spark.createDataFrame([tuple(row.get(field.name) for field in schema) for row in told], schema)


def test_rows_take_the_place_of_those_with_the_same_keys_and_are_read_when_they_are_published(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark = lake.connect()
    ensure_table(spark, WHOLE, WITHDRAWN)

    def readable() -> dict[str, str]:
        return {row["key"]: row["why"] for row in spark.table(WHOLE).select("key", "why").collect()}

    try:
        first = stage_rows(decisions(spark, ("a", "1"), ("b", "1"), ("c", "1")), WHOLE, wap_id("run-1", 1), None)
        assert first is not None
        publish(spark, WHOLE, first.snapshot)
        assert row_count(spark, WHOLE, first.snapshot) == 3
        changed, told = decisions(spark, ("b", "2"), ("d", "2")), {f"{TOLD}list": "of days", f"{INPUT}features": "7"}
        before = current_snapshot(spark, WHOLE)
        part = Part(keys=("key",))
        staged = stage_rows(changed, WHOLE, wap_id("run-2", 1), None, told, before, part)
        assert staged is not None
        assert readable() == {"a": "1", "b": "1", "c": "1"}
        publish(spark, WHOLE, staged.snapshot)
        assert readable() == {"a": "1", "b": "2", "c": "1", "d": "2"}
        assert state_of(spark, WHOLE, staged.snapshot, None) == State(
            staged.snapshot, {"features": 7}, {"list": "of days"}
        )
        assert published_by(spark, WHOLE, "run-2", None) == staged.snapshot
        for late in (changed, decisions(spark, ("d", "2"))):  # changed rows, and one that is only added
            overtaken = stage_rows(late, WHOLE, wap_id("run-3", 1), None, told, before, part)
            assert overtaken is not None
            with pytest.raises(ChangedPartition):
                publish(spark, WHOLE, overtaken.snapshot)
        unchanged = stage_rows(changed, WHOLE, wap_id("run-4", 1), None, told, staged.snapshot, part)
        assert unchanged is not None and (unchanged.rows, unchanged.size_bytes) == (0, 0)
        assert [row["name"] for row in spark.sql(f"SELECT name FROM {WHOLE}.refs").collect()] == ["main"]
        monkeypatch.setattr(maintain_tables, "MANY_LISTS", 1)
        assert maintain_tables.maintain(spark, WHOLE, maintain_tables.Options())["files_compacted"] >= 1
        assert readable() == {"a": "1", "b": "2", "c": "1", "d": "2"}
        assert state_of(spark, WHOLE, current_snapshot(spark, WHOLE) or 0, None) == state_of(
            spark, WHOLE, staged.snapshot, None
        )
    finally:
        spark.stop()
