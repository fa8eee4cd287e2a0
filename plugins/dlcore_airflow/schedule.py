"""When the DAGs run, and for which day: the setting for scheduling, and the partition of a run.

`PIPELINE_SCHEDULE` is `daily` (the default) or `off`. With `off`, the daily partitions stay, so that backfills and runs
by hand work, but the scheduler starts nothing by itself.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, time, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from dlcore_airflow.timetable import DailyTimetable, OnRequestTimetable

SCHEDULES = ("daily", "off")
FIRST_DAY = datetime(2020, 1, 1)


def schedule_setting() -> str:
    """The value of `PIPELINE_SCHEDULE`.

    Raises:
        ValueError: it is neither `daily` nor `off`.
    """
    value = os.environ.get("PIPELINE_SCHEDULE") or "daily"
    if value not in SCHEDULES:
        raise ValueError(f"PIPELINE_SCHEDULE: got {value!r}, expected one of {', '.join(SCHEDULES)}")
    return value


def scheduling(cron: str = "0 0 * * *") -> dict[str, Any]:
    """The DAG arguments that follow from the setting: a data interval per cron tick, which runs when it has ended."""
    timetable = OnRequestTimetable if schedule_setting() == "off" else DailyTimetable
    return {"schedule": timetable(cron, timezone="UTC"), "catchup": False}


def partition_day(context: Any) -> str:
    """The day a run is for, as YYYY-MM-DD: the param `day`, else that of its logical date, else the last complete day.

    A run of the schedule or of a backfill has a midnight as its logical date, which begins its day. A run by hand has
    none, or the moment given in the trigger form: it is for the day of that moment, in UTC like the images' days,
    unless that day is not over yet.
    context: Airflow's task context.

    Raises:
        AirflowFailException: the param is not a day; a retry would read the same param.
    """
    given = context["params"].get("day")
    if not given:
        run = context["dag_run"]
        asked, last_whole_day = run.logical_date, (run.run_after.astimezone(UTC) - timedelta(days=1)).date()
        if asked is None:
            return str(last_whole_day)
        asked = asked.astimezone(UTC)
        return str(asked.date() if asked.time() == time.min else min(asked.date(), last_whole_day))
    try:
        return datetime.strptime(str(given), "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise AirflowFailException(f"param day: got {given!r}, expected a day as YYYY-MM-DD, e.g. 2026-11-02") from None
