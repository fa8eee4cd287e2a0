"""Which of two runs gets a free slot."""

from __future__ import annotations

from pathlib import Path

from spark_jobs.pipeline import CATCH_UP
from tests.plugins.airflow_process import answer

WEIGHTS = """
import json, sys
from types import SimpleNamespace
from dlcore_airflow.priority import DailyRunFirst

print(json.dumps([DailyRunFirst().get_weight(SimpleNamespace(run_id=run)) for run in json.loads(sys.argv[1])]))
"""


def test_runs_of_the_past_come_after_the_daily_run(tmp_path: Path) -> None:
    past = ["backfill__2026-11-02T00:00:00+00:00", f"{CATCH_UP}2026-11-02__asked_2026-11-29"]
    urgent = ["scheduled__2026-11-28T00:00:00+00:00", "manual__2026-11-29T07:00:00+00:00"]
    weights = answer(WEIGHTS, tmp_path, [*past, *urgent])
    assert max(weights[:2]) < min(weights[2:])
