"""Staging on one table by many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier
from typing import Any

import pytest

from data_contracts.raw_images import RAW_IMAGES
from spark_jobs.running.publishing import current_snapshot, ensure_table, stage_rows, wap_id
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

TABLE = "lake.staged_at_once.raw_images"
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
