"""A trial publishes beside: it replaces no day, counts nowhere, and one command removes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spark_jobs.pipeline import EXIT_OK
from spark_jobs.remove_trials import main
from spark_jobs.run_reports.reading import latest_reports, newest_published_by_day, newest_reports
from spark_jobs.running import runner
from tests.spark_jobs.lake import Lake
from tests.spark_jobs.running.test_runner import checked_images
from tests.spark_jobs.small_job import STAGE, Options, plan

DAY = "2026-06-01"


@dataclass(frozen=True)
class Limited(Options):
    """Of a job that can leave out rows."""

    limit: int = 0


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


def run_first(lake: Lake, run: str, *options: str) -> None:
    line = ["--run", run, "--day", DAY, "--remote", lake.remote(), *options]
    assert runner.execute(STAGE, plan, Limited, line, lake.settings) == EXIT_OK


@pytest.mark.spark
def test_a_trial_replaces_no_day_and_goes_by_a_command(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(namespace: str, dataset: str) -> list[str]:
        found = reader.sql(f"SELECT string(image) AS run FROM lake.{namespace}.{dataset} WHERE day = DATE '{DAY}'")
        return [row["run"] for row in found.collect()]

    run_first(lake, "whole", "--rows", "5")
    run_first(lake, "tried", "--rows", "2", "--limit", "2")
    line = ["--run", "tried", "--day", DAY, "--remote", lake.remote(), "--trial"]
    assert runner.execute("preprocess_images", checked_images, Options, line, lake.settings) == EXIT_OK
    assert rows("pipeline", "raw_images") == ["whole"] * 5
    assert rows("pipeline_trial", "raw_images") == rows("pipeline_trial", "images") == ["tried"] * 2

    reports = lake.settings.reports
    assert newest_published_by_day(reports, STAGE, "")[DAY]["run"] == "whole"
    of_day = [report["run"] for report in newest_reports(lake.settings) if report["day"] == DAY]
    assert of_day == ["whole"]
    assert [report["trial"] for report in latest_reports(reports, 99) if report["day"] == DAY] == [True, True]

    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    command = typer.Typer()
    command.command()(main)
    done = CliRunner().invoke(command, ["--remote", lake.remote()])
    assert done.exit_code == 0, done.output
    assert "removed 2 tables (images, raw_images) and 2 run reports of trials" in done.output
    assert reader.sql("SHOW TABLES IN lake.pipeline_trial").collect() == []
    assert rows("pipeline", "raw_images") == ["whole"] * 5
    assert [report["run"] for report in latest_reports(reports, 99) if report["day"] == DAY] == ["whole"]
