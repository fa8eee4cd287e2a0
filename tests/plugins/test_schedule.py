"""Which day a run is for."""

from __future__ import annotations

import pytest

from tests.plugins.airflow_process import answer

ASK = """
import json, sys
from datetime import datetime
from types import SimpleNamespace
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.utils.types import DagRunType
from dlcore_airflow.schedule import partition_day
from dlcore_airflow.timetable import DailyTimetable, OnRequestTimetable
from pendulum import datetime as moment, now
day = lambda number, hour=0: moment(2026, 11, number, hour)
answers = []
for given, logical, after in json.loads(sys.argv[1]):
    run = SimpleNamespace(logical_date=logical and datetime.fromisoformat(logical), run_after=datetime.fromisoformat(after))
    try:
        answers.append(partition_day({"params": {"day": given}, "dag_run": run}))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
on_request, every_morning = OnRequestTimetable("0 0 * * *", timezone="UTC"), DailyTimetable("0 8 * * *", timezone="UTC")
names = []
for kind in (DagRunType.SCHEDULED, DagRunType.BACKFILL_JOB, DagRunType.MANUAL):
    for timetable, start in (on_request, day(2)), (every_morning, day(2, 8)):
        interval = DataInterval(start, start.add(days=1))
        names.append(timetable.generate_run_id(run_type=kind, run_after=interval.end, data_interval=interval))
def starts(timetable, first, last, catchup=True):
    restriction, info, found = TimeRestriction(first, last, catchup), None, []
    while info := timetable.next_dagrun_info(last_automated_data_interval=info and info.data_interval, restriction=restriction):
        found.append([str(info.logical_date.date()), info.run_after.isoformat()])
    return found
today = now("UTC").start_of("day")
days = DailyTimetable("0 0 * * *", timezone="UTC")
(_, of_today), = starts(days, today, today)
begins = [starts(on_request, day(1), day(2)), starts(every_morning, day(2), day(3)), of_today == today.add(days=1).isoformat()]
print(json.dumps([answers, names, begins, timetable.summary, on_request.summary]))
"""
NOW, MIDNIGHT = "2026-11-05T14:30:00+00:00", "2026-11-02T00:00:00+00:00"
RUNS = {
    "of the schedule or a backfill": (None, MIDNIGHT, NOW, "2026-11-02"),
    "by hand, from the command line": (None, None, NOW, "2026-11-04"),
    "by hand, from the trigger form": (None, NOW, NOW, "2026-11-04"),
    "from the form, for a moment days ago": (None, "2026-11-01T23:00:00+00:00", NOW, "2026-11-01"),
    "from the form, by a clock in Berlin": (None, "2026-11-03T00:30:00+01:00", NOW, "2026-11-02"),
    "from the form, for a moment to come": (None, "2026-11-09T08:00:00+00:00", NOW, "2026-11-04"),
    "with the param": ("2026-10-01", MIDNIGHT, NOW, "2026-10-01"),
    "with a wrong param": (
        "1.10.2026",
        MIDNIGHT,
        NOW,
        "AirflowFailException: param day: got '1.10.2026', expected a day as YYYY-MM-DD, e.g. 2026-11-02",
    ),
}

pytestmark = pytest.mark.airflow


def test_the_day_and_the_name_of_a_run(tmp_path):
    answers, names, begins, *summaries = answer(ASK, tmp_path, [run[:-1] for run in RUNS.values()])
    assert names == ["scheduled__2026-11-02", "scheduled__2026-11-03T08:00:00+00:00"] + [
        f"{kind}__2026-11-03T0{hour}:00:00+00:00" for kind in ("backfill", "manual") for hour in (0, 8)
    ]
    of_days, of_mornings, today_waits_for_its_end = begins
    assert of_days == [["2026-11-01", "2026-11-01T00:00:00+00:00"], ["2026-11-02", "2026-11-02T00:00:00+00:00"]]
    assert of_mornings == [["2026-11-02", "2026-11-03T08:00:00+00:00"]]
    assert today_waits_for_its_end
    assert summaries == ["0 8 * * *", "by backfill or by hand"]
    assert dict(zip(RUNS, answers, strict=True)) == {name: run[-1] for name, run in RUNS.items()}
