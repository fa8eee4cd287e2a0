"""How long past runs took, alone and together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from spark_jobs.run_reports.reading import PastRun


def total_seconds(report: PastRun) -> float:
    """Seconds of a run from start to end."""
    return float(report["seconds"].get("total", sum(report["seconds"].values())))


def interval(report: PastRun) -> tuple[float, float]:
    """When a run started and ended, in seconds since 1970."""
    start = datetime.fromisoformat(report["started_at"]).timestamp()
    return start, start + total_seconds(report)


def busy_seconds(reports: Iterable[PastRun]) -> float:
    """Seconds during which at least one of the runs was under way, however many ran side by side."""
    busy = last = 0.0
    for start, end in sorted(map(interval, reports)):
        busy += max(0.0, end - max(start, last))
        last = max(last, end)
    return busy
