"""What an attempt tells of itself while it runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from spark_jobs.pipeline import running_uri
from spark_jobs.run_reports.reading import attempts_under_way, latest_reports, reports_of_days
from spark_jobs.running import progress
from spark_jobs.running.run_report import RunReport
from tests.spark_jobs.lake import Lake
from tests.waiting import wait_for

DAY = "2026-11-02"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell much more often than real jobs do."""
    monkeypatch.setattr(progress, "EVERY_S", 0.02)


def now() -> datetime:
    return datetime.now(UTC)


def test_an_attempt_tells_its_phase_and_leaves_nothing_at_its_end(tmp_path: Path) -> None:
    reports, report = f"file://{tmp_path}", RunReport("read_images", "mine", 1, DAY)
    report.write(reports)
    with progress.told(report, reports, None):
        with report.phase("total"), report.phase("audit"):
            (found,) = wait_for(lambda: attempts_under_way(reports, now()))
            assert (found["stage"], found["progress"]["phase"], found["status"]) == ("read_images", "audit", "running")
            assert found["silent_s"] < 60
        assert [len(of_days(reports, 1)) for of_days in (latest_reports, reports_of_days)] == [1, 1]
    assert attempts_under_way(reports, now()) == []
    assert "doing" not in json.loads(report.to_json())


def test_an_attempt_that_was_killed_falls_silent_and_is_forgotten_after_a_day(tmp_path: Path) -> None:
    reports, report = f"file://{tmp_path}", RunReport("read_images", "killed", 1, DAY)
    path = Path(running_uri(reports, report.stage, report.day, report.run).removeprefix("file://"))
    path.parent.mkdir()
    path.write_text(progress.as_json(report, (1, 4)))
    path.with_name("damaged.json").write_text("{")
    (found,) = attempts_under_way(reports, now() + timedelta(minutes=10))
    assert 600 <= found["silent_s"] < 700
    assert attempts_under_way(reports, now() + timedelta(days=1, minutes=1)) == []


def test_a_store_that_does_not_take_it_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "running").write_text("a file in the place of the folder")
    with progress.told(RunReport("read_images", "mine", 1, DAY), f"file://{tmp_path}", None):
        wait_for(lambda: "cannot say how far the attempt is" in caplog.text)


@pytest.mark.spark
def test_tasks_of_spark_are_counted_while_it_computes(lake: Lake, tmp_path: Path) -> None:
    reports, report, go_on = f"file://{tmp_path}", RunReport("read_images", "mine", 1, DAY), tmp_path / "go_on"
    spark = lake.connect()

    def waits(batches):  # type: ignore[no-untyped-def]
        import time

        for batch in batches:
            if batch.column("id")[0].as_py():
                while not go_on.exists():
                    time.sleep(0.05)
            yield batch

    seen: list[tuple[int, int]] = []
    ended = Event()

    def look() -> None:
        try:
            seen.append(
                wait_for(
                    lambda: next(
                        (
                            (found["progress"]["tasks_done"], found["progress"]["tasks"])
                            for found in attempts_under_way(reports, now())
                            if found["progress"]["tasks_done"]
                        ),
                        None,
                    )
                )
            )
        finally:
            go_on.touch()
            ended.set()

    try:
        with progress.told(report, reports, spark):
            Thread(target=look, daemon=True).start()
            rows = spark.range(0, 2, numPartitions=2).mapInArrow(waits, "id long").collect()
        assert ended.wait(60)
    finally:
        spark.stop()
    assert sorted(row["id"] for row in rows) == [0, 1]
    assert seen == [(1, 2)]
