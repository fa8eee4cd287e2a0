"""When the DAGs run, and for which day: the scheduling setting and the partition of a run.

`PIPELINE_SCHEDULE` is `daily` (the default) or `off`. Off keeps the daily partitions, so that backfills and runs by hand
work, but the scheduler starts nothing by itself.
"""

from __future__ import annotations

import os
from datetime import datetime, time, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowFailException

from dlcore_airflow.timetable import OnRequestTimetable

SCHEDULES = ("daily", "off")
FIRST_DAY = datetime(2020, 1, 1)


def schedule_setting() -> str:
    """The value of `PIPELINE_SCHEDULE`.

    Raises ValueError when it is neither `daily` nor `off`.
    """
    value = os.environ.get("PIPELINE_SCHEDULE") or "daily"
    if value not in SCHEDULES:
        raise ValueError(f"PIPELINE_SCHEDULE: got {value!r}, expected one of {', '.join(SCHEDULES)}")
    return value


def scheduling(cron: str = "0 0 * * *") -> dict[str, Any]:
    """The DAG arguments that follow from the setting: a data interval per cron tick, run when it has ended."""
    timetable = OnRequestTimetable if schedule_setting() == "off" else CronDataIntervalTimetable
    return {"schedule": timetable(cron, timezone="UTC"), "catchup": False}


def partition_day(context: Any) -> str:
    """The day a run is for, as YYYY-MM-DD: the param `day`, else the one that its logical date begins, else the last whole day.

    A run of the schedule or of a backfill has a midnight as its logical date. One started by hand has none, or, from the trigger
    form, the moment at which it was asked for, whose day is not over.
    context: Airflow's task context.
    Raises AirflowFailException when the param is not a day: a retry would read the same param.
    """
    given = context["params"].get("day")
    if not given:
        run = context["dag_run"]
        if run.logical_date is not None and run.logical_date.time() == time.min:
            return str(run.logical_date.date())
        return str(((run.logical_date or run.run_after) - timedelta(days=1)).date())
    try:
        return datetime.strptime(str(given), "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise AirflowFailException(f"param day: got {given!r}, expected a day as YYYY-MM-DD, e.g. 2026-11-02") from None
