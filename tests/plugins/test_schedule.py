"""Which day a run is for."""

import pytest

from tests.plugins.airflow_process import answer

ASK = """
import json, sys
from datetime import datetime
from types import SimpleNamespace
from dlcore_airflow.schedule import partition_day
answers = []
for day, logical, after in json.loads(sys.argv[1]):
    run = SimpleNamespace(logical_date=logical and datetime.fromisoformat(logical), run_after=datetime.fromisoformat(after))
    try:
        answers.append(partition_day({"params": {"day": day}, "dag_run": run}))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
print(json.dumps(answers))
"""
NOW, MIDNIGHT = "2026-11-05T14:30:00+00:00", "2026-11-02T00:00:00+00:00"
RUNS = {
    "of the schedule or a backfill": (None, MIDNIGHT, NOW, "2026-11-02"),
    "by hand, from the command line": (None, None, NOW, "2026-11-04"),
    "by hand, from the trigger form": (None, NOW, NOW, "2026-11-04"),
    "with the param": ("2026-10-01", MIDNIGHT, NOW, "2026-10-01"),
    "with a wrong param": (
        "1.10.2026",
        MIDNIGHT,
        NOW,
        "AirflowFailException: param day: got '1.10.2026', expected a day as YYYY-MM-DD, e.g. 2026-11-02",
    ),
}

pytestmark = pytest.mark.airflow


def test_the_day_of_a_run(tmp_path):
    answers = answer(ASK, tmp_path, [run[:-1] for run in RUNS.values()])
    assert dict(zip(RUNS, answers, strict=True)) == {name: run[-1] for name, run in RUNS.items()}
