"""Which days were missed, and which have images that came later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dlcore_airflow.ui.metrics import metrics_text

from spark_jobs.pipeline import STAGES
from spark_jobs.run_reports.gaps import late_images, missing_days
from spark_jobs.run_reports.reading import newest_reports
from spark_jobs.running.run_report import RunReport
from spark_jobs.settings import Settings

LAST = "extract_features"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.from_environment({"PIPELINE_HOME": str(tmp_path)}), reports=f"file://{tmp_path}/reports")


def leave(
    settings: Settings, stage: str, day: str | None, run: str = "r", status: Any = "published", **values: Any
) -> None:
    codes = "" if "codes" in STAGES[stage].options else None
    RunReport(stage, run, 1, day, dag=STAGES[stage].dag, **{"codes": codes, "status": status, **values}).write(
        settings.reports
    )


def test_a_day_is_missing_when_nothing_of_it_was_published(settings: Settings) -> None:
    assert missing_days(settings) == []
    for day, status in ((1, "published"), (2, "failed"), (3, "empty"), (5, "already_published"), (7, "failed")):
        leave(settings, LAST, f"2026-11-{day:02}", status=status)
    leave(settings, LAST, "2026-11-04", codes="v2")
    leave(settings, "crop_objects", "2026-11-02")
    assert missing_days(settings) == [date(2026, 11, 2), date(2026, 11, 4)]
    assert missing_days(replace(settings, codes="v2")) == []


def test_a_day_that_was_skipped_is_not_missing_and_its_images_are_late(settings: Settings) -> None:
    for day, status, codes in (
        (1, "published", 5),
        (2, "nothing_yet", None),
        (3, "refused", None),
        (4, "published", 5),
    ):
        leave(settings, "read_images", f"2026-11-{day:02}", status=status, rows_out=codes)
        if codes:
            leave(settings, LAST, f"2026-11-{day:02}")
    assert missing_days(settings) == [date(2026, 11, 3)]
    assert late_images(settings, 7, lambda _, day: 5 if day.day == 2 else 0) == {date(2026, 11, 2): 5}


def test_nothing_is_counted_in_a_table_that_may_not_exist_yet(settings: Settings) -> None:
    def count(_: Settings, day: date) -> int:
        raise AssertionError(f"asked for {day}")

    leave(settings, "read_images", "2026-11-01", status="nothing_yet")
    assert late_images(settings, 7, count) == {}


def test_images_are_late_when_the_table_has_more_than_were_read(settings: Settings) -> None:
    for day, rows in ((1, 10), (2, 10), (3, 10), (4, 0)):
        leave(settings, "read_images", f"2026-11-{day:02}", rows_out=rows)
    leave(settings, "read_images", "2026-11-03", "again", rows_out=12, started_at="2030-01-01T00:00:00")
    asked: list[int] = []

    def count(_: Settings, day: date) -> int:
        asked.append(day.day)
        return 12

    assert late_images(settings, 3, count) == {date(2026, 11, 2): 2, date(2026, 11, 4): 12}
    assert sorted(asked) == [2, 3, 4]


def test_the_metrics_are_those_of_the_last_check_that_went_well(settings: Settings) -> None:
    found = {"missing_days": ["2026-11-02"], "late_images": {"2026-11-03": 2, "2026-11-04": 5}}
    leave(settings, "check_days", None, extra=found)
    assert {"pipeline_missing_days 1", "pipeline_late_images 7"} <= set(
        metrics_text(newest_reports(settings)).splitlines()
    )
    failed = {"stage": "check_days", "status": "failed", "started_at": "2031-01-01T00:00:00", "extra": {}}
    assert "pipeline_missing_days 1" in metrics_text([*newest_reports(settings), failed])
    assert "pipeline_late_images 0" not in metrics_text([failed])
