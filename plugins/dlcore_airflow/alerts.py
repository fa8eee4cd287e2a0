"""Alerts: a stage that failed, with its rule and day, and a daily run that is late.

Each message goes to the log, and as JSON `{"text": ...}` to the webhook of `PIPELINE_ALERT_URL` when that is set: the
form that Slack, Mattermost and most others take. A webhook that does not answer never fails a task.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert
from airflow.sdk.exceptions import AirflowFailException

from dlcore_airflow.hours import hours
from dlcore_airflow.run_name import run_of
from dlcore_airflow.schedule import partition_day
from spark_jobs.pipeline import STAGES
from spark_jobs.run_reports.reading import report_of_attempt
from spark_jobs.settings import Settings

logger = logging.getLogger(__name__)

WEBHOOK_TIMEOUT_S = 10.0
DEADLINE_HOURS = 6.0


class EndOfScheduledDay(BaseDeadlineReference):
    """The end of a scheduled run's data interval, when it should start. Backfills and runs by hand are never late.

    For the very first run of a DAG it is the present: nobody has waited for it since its day's end.
    """

    required_kwargs = {"dag_id", "run_id"}  # noqa: RUF012

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        if run is None or run.run_type != "scheduled":
            return None
        of_schedule = DagRun.dag_id == dag_id, DagRun.run_type == "scheduled", DagRun.run_after < run.run_after
        is_first = session.scalar(select(DagRun.id).where(*of_schedule).limit(1)) is None
        end: datetime = run.data_interval_end
        return max(end, datetime.now(UTC)) if is_first else end


def daily_deadline() -> DeadlineAlert:
    """The alert for a scheduled run that has not ended `PIPELINE_DEADLINE_HOURS` (6) after its day.

    Raises:
        ValueError: the setting is not a positive number.
    """
    interval = hours("PIPELINE_DEADLINE_HOURS", DEADLINE_HOURS)
    return DeadlineAlert(
        reference=EndOfScheduledDay(),
        interval=interval,
        callback=SyncCallback("dlcore_airflow.alerts.day_is_late", kwargs={"hours": interval / timedelta(hours=1)}),
    )


def day_is_late(hours: float, context: dict[str, Any]) -> None:
    """Announce that a day's run has passed its deadline; Airflow calls this with the run in `context`."""
    run = context["dag_run"]
    day = str(run.get("logical_date") or run["run_after"])[:10]
    announce(
        f"{run['dag_id']}: day {day} is late: run {run['dag_run_id']} is {run['state']} {hours:g} hours after the "
        f"day's end"
    )


def stage_failed(context: Any) -> None:
    """Announce a task that has failed for good: the stage, the day and the broken rules."""
    task, run = context["ti"], context["dag_run"]
    message = f"{task.dag_id}: stage {task.task_id} failed in run {run.run_id}"
    stage = STAGES.get(task.task_id)
    day = None
    if stage is not None and stage.is_daily:
        with suppress(AirflowFailException):  # the run's day is what is wrong with it
            day = partition_day(context)
            message += f", day {day}"
    reports = Settings.from_environment().reports
    report = report_of_attempt(reports, task.task_id, day, run_of(run), task.try_number) if stage is not None else None
    rules = [f"{rule['rule']} ({rule['rows']} rows)" for rule in (report or {}).get("broken") or []]
    if rules:
        message += f": broken rules {', '.join(rules)}"
    else:
        message += f": {(report or {}).get('error') or context.get('exception') or 'the task was killed; see its log'}"
    announce(message)


def announce(message: str) -> None:
    """Log a message as an error and send it to the webhook, if there is one."""
    logger.error("%s", message)
    url = os.environ.get("PIPELINE_ALERT_URL")
    if not url:
        return
    request = urllib.request.Request(url, json.dumps({"text": message}).encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        logger.warning("the webhook of PIPELINE_ALERT_URL did not take the message: %s", error)
