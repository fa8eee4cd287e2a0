"""Pairs and groups of days that come, go and are replaced, on a real Spark Connect server: as if computed from nothing,
to the row."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.features import FEATURES
from data_contracts.reasons import Reason
from spark_jobs import compare_pictures, find_duplicates, withdraw
from spark_jobs.pictured_rows import PLACE
from spark_jobs.pipeline import EXIT_OK
from spark_jobs.running import publishing, runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.settings import Settings
from spark_jobs.stages.duplicates import duplicate_rows
from spark_jobs.stages.picture_blocks import KEPT
from spark_jobs.stages.withdrawn_keys import withdrawn_keys
from tests.spark_jobs.catalogues import CALIBRATION, feature_rows
from tests.spark_jobs.lake import Lake
from tests.waiting import LIMIT_S

pytestmark = pytest.mark.spark

NAMESPACE = "duplicate_jobs"
PLANS = {"compare_pictures": compare_pictures.plan, "find_duplicates": find_duplicates.plan}


@pytest.fixture(scope="module")
def lake(lake: Lake) -> Lake:
    """Tables of these tests' own: groups are of all days."""
    own = {"PIPELINE_NAMESPACE": NAMESPACE, "PIPELINE_INDEX": f"file://{lake.settings.home}/index-of-{NAMESPACE}"}
    environment = {**lake.environment, **own}
    return Lake(Settings.from_environment(environment), environment)


@pytest.fixture(scope="module")
def reader(lake: Lake) -> Iterator[Any]:
    """A session that writes features and reads what the jobs make of them."""
    spark = lake.connect()
    publishing.ensure_table(spark, lake.settings.table("features"), FEATURES)
    CALIBRATION.write(lake.settings.index)
    yield spark
    spark.stop()


def take_down(lake: Lake, *keys: str) -> None:
    """Withdraw keys, as `spark_jobs.withdraw` does."""
    decision = withdraw.Decision(keys, Reason.WITHDRAWN, "asked by the owner", datetime.now(UTC))
    line = ["--run", f"withdraw-{keys}", "--remote", lake.remote()]
    assert (
        runner.execute("withdraw", partial(withdraw.plan, decision=decision), NoOptions, line, lake.settings) == EXIT_OK
    )


def without(rows: pa.Table, key: str) -> pa.Table:
    """The rows as if those of the key had not been used."""
    kept = [row | {"reason": "withdrawn"} if row["key"] == key else row for row in rows.to_pylist()]
    return pa.Table.from_pylist(kept, rows.schema)


def run(lake: Lake, name: str, attempt: str) -> dict[str, Any]:
    line = ["--run", attempt, "--remote", lake.remote(), "--allow-empty"]
    assert runner.execute(name, PLANS[name], NoOptions, line, lake.settings) == EXIT_OK
    return lake.report(name, None, attempt)


def replace_day(lake: Lake, reader: Any, day: date, rows: pa.Table) -> None:
    """Put rows in place of a day's; none empty it."""
    table = lake.settings.table("features")
    if len(rows):
        reader.createDataFrame(rows).writeTo(table).overwritePartitions()
    else:
        reader.sql(f"DELETE FROM {table} WHERE day = DATE '{day}'")


CHANGES = ((3, 25), (5, 20), (1, 25), (3, 0))
"""Day of the month and its pictures: days that come after all others and before, and one that is emptied."""


def test_days_in_any_order_give_what_all_at_once_gives(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_jobs.stages.pairs._DIVIDED", 1)  # several tasks share a comparison, as if it were large
    rng = np.random.default_rng(4)
    now: dict[date, pa.Table] = {}
    for number, (day_of_month, count) in enumerate(CHANGES):
        day = date(2026, 11, day_of_month)
        now[day] = feature_rows(rng, day, count)
        replace_day(lake, reader, day, now[day])
        if number == 2:
            gone = now[day]["key"][0].as_py()
            take_down(lake, gone)
            now = {name: without(rows, gone) for name, rows in now.items()}
            assert gone in withdraw.keys_now(lake.settings, lake.remote())
        compared = run(lake, "compare_pictures", f"run-{number}")
        grouped = run(lake, "find_duplicates", f"run-{number}")["extra"]
        expected = duplicate_rows(pa.concat_tables(now.values()), CALIBRATION).to_pylist()
        assert groups(lake, reader) == expected
        assert grouped["groups"] == len({row["group"] for row in expected if row["size"] and row["size"] > 1})
        assert compared["extra"]["pictures"]["new"] <= count
        assert compared["extra"]["days_replaced"] == grouped["days_replaced"] == ([str(day)] if number == 1 else "all")
    for threshold in (0.96, CALIBRATION.threshold):
        moved = replace(CALIBRATION, threshold=threshold)
        moved.write(lake.settings.index)
        assert run(lake, "find_duplicates", f"threshold-{threshold}")["extra"]["days_replaced"] == []
        assert groups(lake, reader) == duplicate_rows(pa.concat_tables(now.values()), moved).to_pylist()
    check_nothing_is_left_to_do(lake, reader)


def groups(lake: Lake, reader: Any) -> list[dict[str, Any]]:
    """The published rows of `duplicates`, in order."""
    rows: list[dict[str, Any]] = reader.table(lake.settings.table("duplicates")).orderBy(*PLACE).toArrow().to_pylist()
    return rows


def check_nothing_is_left_to_do(lake: Lake, reader: Any) -> None:
    """The pairs are, to the row, what a comparison of all with all finds; a run without changes compares nothing and
    keeps all rows."""
    table = lake.settings.table("duplicate_pairs")
    pairs, grouped = sorted(map(str, reader.table(table).toArrow().to_pylist())), groups(lake, reader)
    again = run(lake, "compare_pictures", "again")["extra"]
    assert (again["days_replaced"], again["days_read"], again["pictures"]["new"]) == ([], 0, 0)
    assert sorted(map(str, reader.table(table).toArrow().to_pylist())) == pairs
    assert run(lake, "find_duplicates", "again")["extra"]["days_replaced"] == []
    assert groups(lake, reader) == grouped
    reader.sql(f"DELETE FROM {table}")
    shutil.rmtree(f"{lake.settings.index.removeprefix('file://')}/{KEPT}")
    assert run(lake, "compare_pictures", "from-nothing")["extra"]["pictures"]["new"] > len(CHANGES)
    assert sorted(map(str, reader.table(table).toArrow().to_pylist())) == pairs
    next(Path(lake.settings.index.removeprefix("file://"), KEPT).glob("*.arrow")).unlink()
    assert run(lake, "find_duplicates", "without-a-block")["extra"]["days_replaced"] == "all"
    assert groups(lake, reader) == grouped


def test_decisions_made_at_once_are_all_kept(lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = publishing.publish

    def overtaken(*arguments: Any) -> int:
        monkeypatch.setattr(publishing, "publish", publish)
        command = lake.python("-m", "spark_jobs.withdraw", "second", "--reason", "why not", "--remote", lake.remote())
        output = command.communicate(timeout=LIMIT_S)[0]
        assert command.returncode == 0, output
        return publish(*arguments)

    monkeypatch.setattr(publishing, "publish", overtaken)
    take_down(lake, "first")
    assert set(withdraw.keys_now(lake.settings, lake.remote())) >= {"first", "second"}
    assert "second" in withdrawn_keys(lake.settings.index)


def test_a_decision_made_while_another_was_about_to_be_staged_is_kept(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql import functions as F

    table, stage_rows = lake.settings.table("withdrawn"), publishing.stage_rows

    def overtaken(*arguments: Any) -> Any:
        reader.sql(f"SELECT * FROM {table} LIMIT 1").withColumn("key", F.lit("fourth")).writeTo(table).append()
        monkeypatch.setattr(publishing, "stage_rows", stage_rows)
        return stage_rows(*arguments)

    take_down(lake, "second")
    monkeypatch.setattr(publishing, "stage_rows", overtaken)
    take_down(lake, "third")
    assert set(withdraw.keys_now(lake.settings, lake.remote())) >= {"second", "third", "fourth"}
