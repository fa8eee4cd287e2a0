"""A day is taken back to what it was before its last run, on real tables, and nothing else changes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner, Result

from data_contracts import images, raw_images
from data_contracts.contract import Column, Rule
from spark_jobs.pipeline import EXIT_BROKEN_CONTRACT, EXIT_MISTAKE, EXIT_OK
from spark_jobs.restore_day import check_reports, main, undoing_id, undone, ways_on
from spark_jobs.running import publishing, runner
from spark_jobs.running.publishing import Change
from spark_jobs.running.run_report import RunReport
from spark_jobs.settings import Settings
from tests.spark_jobs.lake import Lake
from tests.spark_jobs.running.test_runner import checked_images
from tests.spark_jobs.small_job import STAGE, Options, plan

DAY, OTHER = "2026-04-01", "2026-04-02"


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


def run_day(lake: Lake, run: str, day: str, rows: int) -> None:
    """The first two datasets of a day, as one run."""
    run_stage(lake, run, day, rows)
    run_stage(lake, run, day, rows, "preprocess_images", checked_images)


def run_stage(lake: Lake, run: str, day: str, rows: int, stage: str = STAGE, of_stage: Any = plan) -> None:
    """One dataset of a day, by default the first."""
    line = ["--run", run, "--day", day, "--remote", lake.remote(), "--rows", str(rows)]
    assert runner.execute(stage, of_stage, Options, line, lake.settings) == EXIT_OK


def restore(lake: Lake, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run the command in this process."""
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, ["--day", DAY, "--remote", lake.remote(), *arguments])


def published(reader: Any, dataset: str, day: str) -> set[str]:
    """Which runs the readable rows of a day are of."""
    rows = reader.sql(f"SELECT CAST(image AS STRING) AS run FROM lake.pipeline.{dataset} WHERE day = DATE '{day}'")
    return {row["run"] for row in rows.collect()}


@pytest.mark.spark
def test_a_day_goes_back_and_forth_and_other_days_stay(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day(lake, "good", DAY, 5)
    run_day(lake, "bad", DAY, 3)
    run_day(lake, "later", OTHER, 4)
    call = (
        "CALL lake.system.rewrite_data_files(table => 'lake.pipeline.raw_images', options => map('rewrite-all', "
        "'true'))"
    )
    reader.sql(call).collect()
    for expected in ("good", "bad", "good"):
        done = restore(lake, monkeypatch)
        assert done.exit_code == 0, done.output
        for dataset in ("raw_images", "images"):
            assert published(reader, dataset, DAY) == {expected}
            assert published(reader, dataset, OTHER) == {"later"}
    assert reader.sql(f"SELECT 1 FROM lake.pipeline.images WHERE day = DATE '{DAY}'").count() == 5


@pytest.mark.spark
def test_what_would_break_a_contract_is_not_restored(lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run_day(lake, "five", DAY, 5)
    run_day(lake, "three", DAY, 3)
    done = restore(lake, monkeypatch, "--dataset", "images", "--run", "three")
    assert done.exit_code == EXIT_BROKEN_CONTRACT
    assert "same_keys_as_input" in done.output
    assert published(reader, "images", DAY) == {"three"}
    assert "was not the last" in restore(lake, monkeypatch, "--run", "five").output


@pytest.mark.spark
def test_an_undoing_that_fails_halfway_goes_on(lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run_day(lake, "whole", DAY, 5)
    run_day(lake, "faulty", DAY, 3)
    rule = Rule("never_three_high", "no image is three pixels high", "height = 3")
    with monkeypatch.context() as patch:
        patch.setattr(images, "IMAGES", replace(images.IMAGES, own_rules=(rule,)))
        failed = restore(lake, patch)
    assert failed.exit_code == EXIT_BROKEN_CONTRACT
    assert "restored raw_images, but not images; to continue:" in failed.output
    assert [published(reader, dataset, DAY) for dataset in ("raw_images", "images")] == [{"whole"}, {"faulty"}]
    assert "'faulty' is undone in some" in restore(lake, monkeypatch).output

    way_on = shlex.split(next(line for line in failed.output.splitlines() if line.startswith("python -m")))
    done = restore(lake, monkeypatch, *way_on[way_on.index("--run") :])
    assert done.exit_code == 0, done.output
    assert f"day {DAY}: images are as before run faulty" in done.output
    assert [published(reader, dataset, DAY) for dataset in ("raw_images", "images")] == [{"whole"}, {"whole"}]
    assert reader.sql(f"SELECT 1 FROM lake.pipeline.images WHERE day = DATE '{DAY}'").count() == 5


@pytest.fixture
def noted_images(lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Adds a column to the table and the contract of raw_images; it goes again when the test is over."""
    column = Column("note", pa.map_(pa.string(), pa.int64()), "what somebody has noted")

    def add() -> None:
        noted = replace(raw_images.RAW_IMAGES, columns=(*raw_images.RAW_IMAGES.columns, column), version=2)
        monkeypatch.setattr(raw_images, "RAW_IMAGES", noted)
        reader.sql("ALTER TABLE lake.pipeline.raw_images ADD COLUMN note MAP<STRING, BIGINT>")

    yield add
    reader.sql("ALTER TABLE lake.pipeline.raw_images DROP COLUMN IF EXISTS note")


@pytest.mark.spark
def test_a_state_before_a_new_column_comes_back_with_nulls(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch, noted_images: Callable[[], None]
) -> None:
    run_day(lake, "old", DAY, 5)
    noted_images()
    run_stage(lake, "new", DAY, 3, STAGE, noted_plan)
    done = restore(lake, monkeypatch)
    assert done.exit_code == 0, done.output
    assert published(reader, "raw_images", DAY) == {"old"}
    rows = reader.sql(f"SELECT note FROM lake.pipeline.raw_images WHERE day = DATE '{DAY}'").collect()
    assert [row["note"] for row in rows] == [None] * 5


def noted_plan(job: runner.Job[Options]) -> Any:
    """The small job's rows with the new column."""
    return plan(job).selectExpr("*", "map('looks', 5L) AS note")


@pytest.mark.spark
def test_a_state_that_has_expired_is_an_error(lake: Lake, reader: Any) -> None:
    day = "2026-04-03"
    run_stage(lake, "first", day, 5)
    run_stage(lake, "second", day, 3)
    change = publishing.last_change(reader, "lake.pipeline.raw_images", date.fromisoformat(day))
    assert change is not None and change.run == "second" and change.before is not None
    reader.sql(
        f"CALL lake.system.expire_snapshots(table => 'lake.pipeline.raw_images', snapshot_ids => "
        f"array({change.before}))"
    )
    with pytest.raises(LookupError, match="has expired"):
        publishing.last_change(reader, "lake.pipeline.raw_images", date.fromisoformat(day))


def test_a_day_with_nothing_to_go_back_to_is_refused_by_the_run_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_HOME", str(tmp_path))
    monkeypatch.delenv("PIPELINE_REPORTS", raising=False)
    app = typer.Typer()
    app.command()(main)

    def asked(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["--day", DAY, *options])
        return done.exit_code, done.output

    code, said = asked()
    assert (code, "no run has published; no day has been published yet" in said) == (EXIT_MISTAKE, True)
    reports = Settings.from_environment().reports
    RunReport(STAGE, "trial", 1, DAY, status="published", trial=True).write(reports)
    RunReport(STAGE, "broken", 1, DAY, status="broken_contract").write(reports)
    RunReport(STAGE, "other", 1, OTHER, status="published").write(reports)
    code, said = asked()
    assert (code, f"expected one that was, such as {OTHER}" in said) == (EXIT_MISTAKE, True)
    RunReport(STAGE, "first", 1, DAY, status="published").write(reports)
    code, said = asked()
    assert (code, f"day {DAY} has been published once, by run first" in said) == (EXIT_MISTAKE, True)
    check_reports(Settings.from_environment(), DAY, allow_empty=True)
    RunReport(STAGE, "second", 1, DAY, status="published").write(reports)
    check_reports(Settings.from_environment(), DAY, allow_empty=False)


def at(hour: int, run: str | None) -> Change:
    """A change of the day by a run."""
    return Change(hour, run, datetime(2026, 11, 1, hour, tzinfo=UTC))


def test_a_run_that_failed_halfway_is_undone_where_it_published() -> None:
    changes = {"raw_images": at(7, "second"), "images": at(5, "first")}
    assert undone(changes, None) == undone(changes, "second") == {"raw_images": changes["raw_images"]}
    with pytest.raises(LookupError, match="raw_images by second"):
        undone(changes, "third")
    with pytest.raises(LookupError, match="never published, or its snapshots have expired"):
        undone({}, None)


def test_a_run_is_not_undone_beside_what_another_has_published_since() -> None:
    changes = {"raw_images": at(7, "second"), "images": at(5, "first")}
    with pytest.raises(LookupError, match="another run has published the day since run 'first'"):
        undone(changes, "first")
    assert undone({"images": changes["images"]}, "first") == {"images": changes["images"]}
    with pytest.raises(LookupError, match="another run"):
        undone({"raw_images": at(7, None), "images": at(5, "first")}, "first")


def test_an_undoing_goes_on_where_it_stopped() -> None:
    undoing = undoing_id("bad", datetime(2026, 11, 2, tzinfo=UTC))
    changes = {"raw_images": at(7, undoing), "images": at(6, "bad"), "detections": at(5, "bad"), "crops": at(4, "good")}
    assert set(undone(changes, "bad")) == {"images", "detections"}
    assert set(undone(changes, undoing)) == {"raw_images"}
    with pytest.raises(LookupError, match=f"--run bad to continue, or --run {undoing} to take it back"):
        undone(changes, None)
    emptied = changes | {"raw_images": at(7, None)}
    assert set(undone(emptied, "bad", allow_empty=True)) == {"images", "detections"}


def test_the_commands_that_go_on() -> None:
    options = ["--day", DAY, "--remote", "sc://host:1/;x=y"]
    start = f"python -m spark_jobs.restore_day --day {DAY} --remote 'sc://host:1/;x=y'"
    assert ways_on("a run", ["images"], options, "") == [f"{start} --run 'a run'"]
    assert ways_on("mine", ["images"], options, "images") == [f"{start} --run mine --dataset images"]
    assert ways_on(None, ["images", "crops"], options, "") == [f"{start} --dataset images", f"{start} --dataset crops"]
