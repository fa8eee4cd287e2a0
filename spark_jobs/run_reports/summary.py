"""What became of one run, in a line, from its stages' reports. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from spark_jobs.pipeline import ALL_DAYS, PUBLISHED, STAGES
from spark_jobs.run_reports.durations import busy_seconds
from spark_jobs.run_reports.reading import PastRun

USED = "ok"
MARKS = re.compile(r"\.\d{8}T\d{6}(\.\d+)?$")
"""Matches what Airflow's operator adds to the name of a run: when it started, and how often it was cleared."""
SILENT_S = 60.0
"""An attempt that has told nothing for so many seconds was killed, or its machine is gone."""
PHASES = {
    "total": "at work",
    "connect": "connecting",
    "pin": "pinning its inputs",
    "stage": "computing",
    "stage_again": "staging again",
    "audit": "auditing",
    "publish": "publishing",
}
UNPUBLISHED = ("failed", "refused", "broken_contract")


@dataclass(frozen=True)
class RunSummary:
    """One run of a day.

    result: that of its worst stage.
    images, used, refused: after the last stage that counts them; None if none does.
    seconds: during which at least one of its stages was under way.   size_bytes: written to the lake.
    trial: whether its rows lie beside the day.
    """

    day: str
    run: str
    dag: str
    started_at: str
    result: str
    stages: int
    images: int | None
    used: int | None
    refused: int | None
    seconds: float
    size_bytes: int
    trial: bool = False

    @property
    def per_second(self) -> float | None:
        """Images per second, from the first stage's start to the last one's end."""
        return self.images / self.seconds if self.images and self.seconds else None

    @classmethod
    def of(cls, reports: list[PastRun]) -> RunSummary:
        """The summary of a run's reports; there must be at least one."""
        first = reports[0]
        counted = [report for report in reports if report.get("reasons")]
        reasons = counted[-1]["reasons"] if counted else None
        images = sum(reasons.values()) if reasons else None
        used = reasons.get(USED, 0) if reasons else None
        return cls(
            day=str(first.get("day") or ALL_DAYS),
            run=str(first.get("run")),
            dag=str(first.get("dag") or ""),
            started_at=min(str(report.get("started_at") or "") for report in reports),
            result=_worst(str(report.get("status")) for report in reports),
            stages=len(reports),
            images=images,
            used=used,
            refused=images - used if images is not None and used is not None else None,
            seconds=_busy(reports),
            size_bytes=sum(report.get("size_bytes") or 0 for report in reports),
            trial=any(report.get("trial") for report in reports),
        )


def in_words(run: RunSummary) -> str:
    """What became of a run."""
    return f"{run.result.replace('_', ' ')}{', a trial' if run.trial else ''}"


def name_of(run: str) -> str:
    """The name that Airflow gives the run."""
    return MARKS.sub("", run)


def runs_of(reports: Iterable[PastRun]) -> list[list[PastRun]]:
    """The reports by day and run, the run that began last first; those of a run are in the order of the stages."""
    runs: dict[tuple[str, str], list[PastRun]] = {}
    for report in reports:
        runs.setdefault((report.get("day") or ALL_DAYS, str(report.get("run"))), []).append(report)
    order = list(STAGES)
    for found in runs.values():
        found.sort(key=lambda report: order.index(report["stage"]) if report.get("stage") in STAGES else len(order))
    return sorted(runs.values(), key=lambda run: max(str(report.get("started_at")) for report in run), reverse=True)


def seconds_of(report: PastRun) -> float | None:
    """How many seconds a stage took; the sum of its phases if the report has no total."""
    phases = report.get("seconds")
    if not isinstance(phases, dict):
        return phases
    return float(phases.get("total", sum(phases.values())))


def _worst(statuses: Iterable[str]) -> str:
    found = list(statuses)
    order = [*UNPUBLISHED, "nothing_yet", "running"]
    return next(
        (status for status in order if status in found), "published" if set(found) <= set(PUBLISHED) else found[-1]
    )


def _busy(reports: list[PastRun]) -> float:
    timed = [report for report in reports if report.get("started_at") and isinstance(report.get("seconds"), dict)]
    try:
        return busy_seconds(timed)
    except ValueError:  # a start that is no time
        return sum(seconds_of(report) or 0.0 for report in timed)


def rows_so_far(attempt: PastRun) -> tuple[int, int] | None:
    """About how many rows an attempt has computed, and of how many, judged by the share of Spark's tasks that are done;
    None before that is known."""
    progress, rows = attempt.get("progress") or {}, attempt.get("rows_out") or attempt.get("rows_in")
    tasks = progress.get("tasks") or 0
    if not rows or not tasks or progress.get("phase") not in ("stage", "stage_again"):
        return None
    return rows * progress.get("tasks_done", 0) // tasks, rows


def state_of(attempt: PastRun, now: datetime) -> str:
    """How far an attempt under way is, in words."""
    progress, rows = attempt.get("progress") or {}, rows_so_far(attempt)
    phase, done, of = str(progress.get("phase") or ""), progress.get("tasks_done") or 0, progress.get("tasks") or 0
    said = [PHASES.get(phase, phase) or "starting"]
    said += [f"about {rows[0]:,} of {rows[1]:,} rows"] if rows else []
    said += [f"{done} of {of} tasks"] if of else []
    said += [f"try {attempt['attempt']}"] if (attempt.get("attempt") or 1) > 1 else []
    return ", ".join([*said, _since(attempt, now)])


def silence_of(attempt: PastRun) -> str:
    """A remark on an attempt that has told nothing for long; empty for one that lives."""
    silent = float(attempt.get("silent_s") or 0.0)
    return f"silent for {silent / 60:,.0f} min: killed?" if silent > SILENT_S else ""


def _since(attempt: PastRun, now: datetime) -> str:
    try:
        seconds = (now - datetime.fromisoformat(str(attempt.get("started_at")))).total_seconds()
    except (TypeError, ValueError):
        return "for some time"
    return f"for {seconds:,.0f} s" if seconds < 120 else f"for {seconds / 60:,.0f} min"
