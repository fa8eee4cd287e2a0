"""Which reports count when the past is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dlcore_airflow.ui.metrics import metrics_text

from spark_jobs.pipeline import is_in_use, report_uri
from spark_jobs.run_reports.reading import (
    MAX_REPORT_BYTES,
    latest_reports,
    newest_published,
    newest_report,
    newest_reports,
    report_of,
    report_of_attempt,
)
from spark_jobs.settings import Settings

LAST = "extract_features"


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of the reports, still missing."""
    monkeypatch.setenv("PIPELINE_REPORTS", f"file://{tmp_path}/reports")
    return f"{tmp_path}/reports"


def uri(reports: str) -> str:
    return f"file://{reports}"


def leave(reports: str, day: str | None, run: str, hour: int, stage: str = LAST, **values: Any) -> Path:
    """Write what a run of a stage reported, at an hour of the day; without values, the file of a job that was
    killed."""
    path = Path(report_uri(reports, stage, day, run))
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (
        {"stage": stage, "day": day, "run": run, "started_at": f"2026-11-25T{hour:02}:00:00", **values}
        if values
        else {}
    )
    path.write_text(json.dumps(values) if values else "")
    os.utime(path, (hour, hour))
    return path


def test_reports_that_can_not_be_read_are_left_out_and_named(reports: str, caplog: pytest.LogCaptureFixture) -> None:
    assert (
        latest_reports(uri(reports), 9),
        newest_published(uri(reports), LAST, Settings.from_environment().codes),
    ) == ([], None)
    leave(reports, "2026-11-01", "whole", 1, status="published")
    leave(reports, "2026-11-01", "killed", 2)
    leave(reports, "2026-11-02", "killed", 3)
    leave(reports, "2026-11-02", "a_list", 4).write_text("[1]")
    assert [report["run"] for report in latest_reports(uri(reports), 9)] == ["whole"]
    published = newest_published(uri(reports), LAST, Settings.from_environment().codes)
    assert published is not None and published["run"] == "whole"
    assert "killed.json is left out" in caplog.text and "a_list.json is left out" in caplog.text


def test_a_report_is_only_that_of_the_attempt_that_is_asked_for(reports: str) -> None:
    leave(reports, "2026-11-01", "r", 1, attempt=2, error="the second")
    leave(reports, "2026-11-01", "killed", 1)
    asked = [
        report_of_attempt(uri(reports), LAST, "2026-11-01", run, attempt)
        for run, attempt in (("r", 2), ("r", 3), ("killed", 1))
    ]
    assert [report and report["error"] for report in asked] == ["the second", None, None]


def test_metrics_are_of_the_codes_in_use_alone(reports: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(reports, None, "groups", 1, "find_duplicates", codes="", status="published", reasons={"ok": 9})
    leave(reports, None, "groups_v2", 2, "find_duplicates", codes="v2", status="failed")
    leave(reports, "2026-11-01", "daily", 1, codes="", status="published", reasons={"ok": 7})
    leave(reports, "2026-11-01", "undone", 2, dag="restore_day", codes="", status="empty")
    leave(reports, "2026-11-02", "v2", 3, dag="feature_extraction", codes="v2", status="published")
    leave(reports, "2026-11-03", "v2", 4, codes="v2", status="failed")
    leave(reports, "2026-11-03", "read", 5, "read_images", status="published")
    assert [report["run"] for report in latest_reports(uri(reports), 9)] == ["groups_v2", "read", "v2", "v2", "undone"]
    counted = latest_reports(uri(reports), 9, lambda report: is_in_use(report, ""))
    assert [report["run"] for report in counted] == ["groups", "read", "daily"]
    lines = metrics_text(counted).splitlines()
    for stage, rows in ((LAST, 7), ("find_duplicates", 9)):
        assert f'pipeline_run_failed{{stage="{stage}"}} 0' in lines
        assert f'pipeline_rows{{stage="{stage}",reason="ok"}} {rows}' in lines
    published = newest_published(uri(reports), LAST, Settings.from_environment().codes)
    assert published is not None and published["run"] == "daily"

    monkeypatch.setenv("PIPELINE_CODES", "v2")
    switched = latest_reports(uri(reports), 9, lambda report: is_in_use(report, "v2"))
    assert [report["run"] for report in switched] == ["groups_v2", "read", "v2", "v2"]
    published = newest_published(uri(reports), LAST, Settings.from_environment().codes)
    assert published is not None and (published["day"], published["run"]) == ("2026-11-02", "v2")


def test_the_newest_published_day_is_found_behind_many_that_failed(reports: str) -> None:
    leave(reports, "2026-10-01", "daily", 1, dag="image_pipeline", status="published")
    for day in range(1, 31):
        leave(reports, f"2026-11-{day:02}", "daily", 2, dag="image_pipeline", status="failed")
    leave(reports, "2026-10-01", "again", 3, dag="image_pipeline", status="failed")
    published = newest_published(uri(reports), LAST, Settings.from_environment().codes)
    assert published is not None and (published["day"], published["run"]) == ("2026-10-01", "daily")


def test_a_report_that_is_too_large_is_left_out(reports: str, caplog: pytest.LogCaptureFixture) -> None:
    leave(reports, "2026-11-01", "whole", 1, codes="", status="published")
    leave(reports, "2026-11-01", "huge", 2, codes="", status="published", error="x" * MAX_REPORT_BYTES)
    settings = Settings.from_environment()
    for found in (
        newest_reports(settings),
        latest_reports(uri(reports), 9),
        [newest_report(settings, LAST, "2026-11-01")],
    ):
        assert [report and report["run"] for report in found] == ["whole"]
    assert "huge.json: got" in caplog.text
    with pytest.raises(ValueError, match="expected a run report of at most"):
        report_of(uri(reports), LAST, "2026-11-01", "huge")


def test_airflow_reads_reports_without_loading_a_file_system_first() -> None:
    program = """
import sys, spark_jobs.run_reports.reading, spark_jobs.run_reports.durations
print(sorted({"fsspec", "numpy", "pyarrow", "pyspark", "dlcore"} & set(sys.modules)))"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
