"""The figures of the stages, from their run reports: rows in and out by day, reasons, seconds by phase, throughput."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from spark_jobs.hbase.source import count_rows
from spark_jobs.pipeline import ALL_DAYS, STAGES
from spark_jobs.run_reports.durations import interval, total_seconds
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.settings import Settings

Figures = dict[str, Any]

HBASE = "hbase"
"""The entry before the stages in `rows`: the rows that the image table has."""


def day_of(report: PastRun) -> str:
    """The report's day, or the word for all days."""
    return str(report["day"] or ALL_DAYS)


def days_of(reports: Iterable[PastRun]) -> list[str]:
    """The days that have run, in order."""
    return sorted({report["day"] for report in reports if report["day"]})


def figures(reports: Sequence[PastRun], in_hbase: dict[str, int]) -> Figures:
    """`rows` by stage and day; `reasons`, `seconds` and `images_per_second` by stage, over all days; `warnings` of the
    runs; `promised`: precision and recall of pairs that the calibration expects, if it has run; `repeatability`: the
    mean overlap of a changed copy's crop with its picture's, as the calibration saw it.

    in_hbase: rows of the image table, by day.
    """
    rows: dict[str, dict[str, int | None]] = {HBASE: dict(in_hbase)} if in_hbase else {}
    reasons: dict[str, Counter[str]] = {}
    for report in reports:
        rows.setdefault(report["stage"], {})[day_of(report)] = report["rows_out"]
        reasons.setdefault(report["stage"], Counter()).update(report["reasons"])
    of_stage = {stage: [report for report in reports if report["stage"] == stage] for stage in reasons}
    return {
        "rows": {stage: by_day for stage, by_day in rows.items() if any(n is not None for n in by_day.values())},
        "reasons": {stage: dict(counts) for stage, counts in reasons.items() if counts},
        "seconds": {stage: round(sum(map(total_seconds, runs)), 2) for stage, runs in of_stage.items()},
        "images_per_second": {stage: rate for stage, runs in of_stage.items() if (rate := _rate(runs)) is not None},
        "warnings": [
            f"{report['stage']}, {day_of(report)}: {said}" for report in reports for said in report.get("warnings", [])
        ],
        "promised": _promised(of_stage.get("calibrate_duplicates", [])),
        "repeatability": _repeatability(of_stage.get("calibrate_duplicates", [])),
    }


def _promised(calibrations: Sequence[PastRun]) -> dict[str, float]:
    expected = [report.get("extra", {}).get("expected", {}) for report in calibrations]
    return {name: float(found[name]) for found in expected for name in ("precision", "recall") if name in found}


def _repeatability(calibrations: Sequence[PastRun]) -> float | None:
    seen = [report.get("extra", {}).get("repeatability") for report in calibrations]
    return next((float(value) for value in reversed(seen) if value is not None), None)


def _rate(reports: Sequence[PastRun]) -> float | None:
    """Rows per second of computing and writing; None if no rows are written."""
    rows = sum(report["rows_out"] or 0 for report in reports)
    seconds = sum(float(report["seconds"].get("stage", 0.0)) for report in reports)
    return round(rows / seconds, 2) if rows and seconds else None


def elapsed_seconds(reports: Iterable[PastRun], dag: str) -> float:
    """Seconds from the first start to the last end of a DAG's stages; 0 if none has run."""
    times = [interval(report) for report in reports if STAGES[report["stage"]].dag == dag]
    if not times:
        return 0.0
    return max(end for _, end in times) - min(start for start, _ in times)


def hbase_rows(settings: Settings, days: Iterable[str]) -> dict[str, int]:
    """How many rows the image table has for each day.

    Raises:
        HBaseError: no gateway answers or the table is missing.
    """
    return {day: count_rows(settings, date.fromisoformat(day)) for day in days}
