"""What became of a run, and how far an attempt is, in words: of the page and of the command alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dlcore.stored_file import write_whole
from spark_jobs.pipeline import running_uri
from spark_jobs.run_reports.summary import RunSummary, silence_of, state_of
from spark_jobs.running.progress import as_json
from spark_jobs.running.run_report import RunReport
from spark_jobs.settings import REPOSITORY

DAY = "2026-11-02"
STARTED = "2026-11-03T01:00:00+00:00"


def test_a_summary_is_of_the_worst_stage_and_of_the_last_count() -> None:
    common = {"run": "one", "day": DAY, "dag": "image_pipeline", "seconds": {"total": 60.0}}
    read = {**common, "stage": "read_images", "status": "published", "started_at": STARTED, "reasons": {"ok": 10}}
    decoded = {**common, "stage": "preprocess_images", "status": "failed", "reasons": {"ok": 7, "blank": 3}}
    found = RunSummary.of([read, {**decoded, "started_at": "2026-11-03T01:00:30+00:00"}])
    assert (found.result, found.images, found.used, found.refused) == ("failed", 10, 7, 3)
    assert found.seconds == 90.0  # from one o'clock to half a minute after the first stage's end
    assert found.per_second == pytest.approx(10 / 90)


@pytest.mark.parametrize(
    ("phase", "tasks", "expected"),
    [
        ("stage", (3, 8), "computing, about 75 of 200 rows, 3 of 8 tasks, try 2, for 90 s"),
        ("audit", (1, 4), "auditing, 1 of 4 tasks, try 2, for 90 s"),
        ("", (0, 0), "starting, try 2, for 90 s"),
    ],
)
def test_how_far_an_attempt_is(phase: str, tasks: tuple[int, int], expected: str) -> None:
    done, of = tasks
    progress = {"phase": phase, "tasks_done": done, "tasks": of}
    attempt = {"stage": "read_images", "started_at": STARTED, "attempt": 2, "rows_in": 200, "progress": progress}
    assert state_of(attempt, datetime(2026, 11, 3, 1, 1, 30, tzinfo=UTC)) == expected
    assert silence_of(attempt) == ""
    assert silence_of({**attempt, "silent_s": 600.0}) == "silent for 10 min: killed?"


def test_the_command_tells_what_runs_and_what_has_run(tmp_path: Path) -> None:
    reports = f"file://{tmp_path}"

    def list_runs(*options: str) -> str:
        command = [sys.executable, "-m", "spark_jobs.list_runs", *options]
        environment = {**os.environ, "PIPELINE_REPORTS": reports}
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert list_runs() == "none of these days has a finished run yet\n"
    name = "backfill__2026-11-02T00:00:00+00:00"
    done = RunReport(
        "read_images", f"{name}.20261103T010203", 1, DAY, status="published", reasons={"ok": 1200, "blank": 34}
    )
    done.write(reports)
    under_way = RunReport("preprocess_images", "mine", 1, DAY, rows_in=1234)
    write_whole(running_uri(reports, under_way.stage, DAY, under_way.run), as_json(under_way, (1, 4)))
    now, _, line = list_runs("--until", DAY).splitlines()
    assert now.startswith(f"now  {DAY}  preprocess_images: ") and "1 of 4 tasks" in now and now.endswith("  mine")
    assert line.split()[:5] == [DAY, "published", "1,234", "1,200", "34"] and line.endswith(f"  {name}")
    told = json.loads(list_runs("--json"))
    assert (told["now"][0]["run"], told["runs"][0]["used"]) == ("mine", 1200)
