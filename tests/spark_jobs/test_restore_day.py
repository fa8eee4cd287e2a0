"""A day is taken back to what it was before its last run, on real tables, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from spark_jobs import publishing, runner
from spark_jobs.pipeline import EXIT_BROKEN_CONTRACT, EXIT_OK
from spark_jobs.publishing import Change
from spark_jobs.restore_day import main, undone
from tests.spark_jobs.lake import Lake
from tests.spark_jobs.small_job import STAGE, Options, plan
from tests.spark_jobs.test_runner import checked_images

DAY, OTHER = "2026-04-01", "2026-04-02"


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


def run_day(lake: Lake, run: str, day: str, rows: int) -> None:
    """The first two datasets of a day, as one run."""
    for stage, of_stage in ((STAGE, plan), ("preprocess_images", checked_images)):
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
    call = "CALL lake.system.rewrite_data_files(table => 'lake.pipeline.raw_images', options => map('rewrite-all', 'true'))"
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
def test_a_state_that_has_expired_is_an_error(lake: Lake, reader: Any) -> None:
    day = "2026-04-03"
    run_day(lake, "first", day, 5)
    run_day(lake, "second", day, 3)
    change = publishing.last_change(reader, "lake.pipeline.raw_images", date.fromisoformat(day))
    assert change is not None and change.run == "second" and change.before is not None
    reader.sql(
        f"CALL lake.system.expire_snapshots(table => 'lake.pipeline.raw_images', snapshot_ids => array({change.before}))"
    )
    with pytest.raises(LookupError, match="has expired"):
        publishing.last_change(reader, "lake.pipeline.raw_images", date.fromisoformat(day))


def test_a_run_that_failed_halfway_is_undone_where_it_published() -> None:
    early, late = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    changes = {"raw_images": Change(7, "second", late), "images": Change(5, "first", early)}
    assert undone(changes, None) == {"raw_images": changes["raw_images"]}
    assert undone(changes, "first") == {"images": changes["images"]}
    with pytest.raises(LookupError, match="raw_images by second"):
        undone(changes, "third")
    with pytest.raises(LookupError, match="never published"):
        undone({}, None)
