"""What runs now and how far it is, as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from spark_jobs.pipeline import STAGES
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import name_of, silence_of, state_of


def under_way(attempts: Iterable[PastRun], now: datetime | None = None) -> str:
    """The attempts under way as HTML; empty if there are none.

    attempts: those of `run_reports.reading.attempts_under_way`.
    """
    rows = "".join(_attempt(attempt, now or datetime.now(UTC)) for attempt in attempts)
    return f"<h2>Now</h2>{rows}" if rows else ""


def _attempt(attempt: PastRun, now: datetime) -> str:
    stage, progress = str(attempt.get("stage", "")), attempt.get("progress") or {}
    done, of = progress.get("tasks_done") or 0, progress.get("tasks") or 0
    silent = silence_of(attempt)
    mark = f" <span class=failed>{silent}</span>" if silent else ""
    bar = f"<progress max={of} value={done}></progress>" if of else "<progress></progress>"
    title = escape(STAGES[stage].title if stage in STAGES else stage)
    return (
        f"<div class=now><b>{escape(str(attempt.get('day') or 'all days'))} · {escape(stage)}</b> <span "
        f"class=quiet>{title}</span><br>"
        f"{bar} {escape(state_of(attempt, now))}{mark}"
        f"<br><span class=quiet>run {escape(name_of(str(attempt.get('run', ''))))}</span></div>"
    )
