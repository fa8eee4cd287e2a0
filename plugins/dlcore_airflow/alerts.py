"""Who is told what: a failed stage with its rule and day, a daily run that is late.

Each message goes to the log, and as JSON `{"text": ...}` to the webhook of `PIPELINE_ALERT_URL` when that is set: the form that
Slack, Mattermost and most others take. A webhook that does not answer never fails a task.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert
from airflow.sdk.exceptions import AirflowFailException

from dlcore_airflow.run_reports import report_of_attempt, run_of
from dlcore_airflow.schedule import partition_day
from spark_jobs.pipeline import STAGES

log = logging.getLogger(__name__)

WEBHOOK_TIMEOUT_S = 10.0
DEADLINE_HOURS = 6.0


class EndOfScheduledDay(BaseDeadlineReference):
    """The end of a scheduled run's data interval, when it should start. Backfills and runs by hand are never late."""

    required_kwargs = {"dag_id", "run_id"}  # noqa: RUF012

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        end: datetime | None = run.data_interval_end if run is not None and run.run_type == "scheduled" else None
        return end


def daily_deadline() -> DeadlineAlert:
    """The alert for a scheduled run that has not ended `PIPELINE_DEADLINE_HOURS` (6) after its day.

    Raises ValueError when the setting is no positive number.
    """
    text = os.environ.get("PIPELINE_DEADLINE_HOURS") or str(DEADLINE_HOURS)
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if hours <= 0:
        raise ValueError(f"PIPELINE_DEADLINE_HOURS: got {text!r}, expected a number of hours, for example 6")
    return DeadlineAlert(
        reference=EndOfScheduledDay(),
        interval=timedelta(hours=hours),
        callback=SyncCallback("dlcore_airflow.alerts.day_is_late", kwargs={"hours": hours}),
    )


def day_is_late(hours: float, context: dict[str, Any]) -> None:
    """Say that a day's run has passed its deadline; Airflow calls it with the run in `context`."""
    run = context["dag_run"]
    day = str(run.get("logical_date") or run["run_after"])[:10]
    announce(
        f"{run['dag_id']}: day {day} is late: run {run['dag_run_id']} is {run['state']} {hours:g} hours after the day's end"
    )


def stage_failed(context: Any) -> None:
    """Name the stage, the day and the broken rules of a task that has failed for good."""
    task, run = context["ti"], context["dag_run"]
    message = f"{task.dag_id}: stage {task.task_id} failed in run {run.run_id}"
    stage = STAGES.get(task.task_id)
    day = None
    if stage is not None and stage.dag == "image_pipeline":
        with suppress(AirflowFailException):  # the run's day is what is wrong with it
            day = partition_day(context)
            message += f", day {day}"
    report = report_of_attempt(task.task_id, day, run_of(run), task.try_number) if stage is not None else None
    rules = [f"{rule['rule']} ({rule['rows']} rows)" for rule in (report or {}).get("broken") or []]
    if rules:
        message += f": broken rules {', '.join(rules)}"
    else:
        message += f": {(report or {}).get('error') or context.get('exception') or 'the task was killed; see its log'}"
    announce(message)


def announce(message: str) -> None:
    """Log a message as an error and send it to the webhook, if there is one."""
    log.error("%s", message)
    url = os.environ.get("PIPELINE_ALERT_URL")
    if not url:
        return
    request = urllib.request.Request(url, json.dumps({"text": message}).encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        log.warning("the webhook of PIPELINE_ALERT_URL did not take the message: %s", error)
