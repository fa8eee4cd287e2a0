"""The figures of the stages, from their run reports: rows in and out by day, reasons, seconds by phase, throughput."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import fsspec

from spark_jobs import row_key
from spark_jobs.hbase import salt_buckets
from spark_jobs.hbase_scan import Gateways, ReadLimits, Scan, scan_batches
from spark_jobs.pipeline import ALL_DAYS, STAGES
from spark_jobs.settings import Settings

Report = dict[str, Any]
Figures = dict[str, Any]

HBASE = "hbase"
"""Stands before the stages in `rows`: the rows that the image table holds."""
_COUNTED = ("published", "already_published", "empty")
_KEYS_ONLY = b"FirstKeyOnlyFilter() AND KeyOnlyFilter()"


def newest_reports(settings: Settings) -> list[Report]:
    """The newest successful run of each stage and day, in the order of the stages, then of the days."""
    newest: dict[tuple[str, str], Report] = {}
    for report in _reports(settings.reports):
        place = report["stage"], report["day"] or ALL_DAYS
        is_newer = place not in newest or newest[place]["started_at"] <= report["started_at"]
        if report["status"] in _COUNTED and report["stage"] in STAGES and is_newer:
            newest[place] = report
    order = list(STAGES)
    return [newest[place] for place in sorted(newest, key=lambda place: (order.index(place[0]), place[1]))]


def _reports(uri: str) -> Iterator[Report]:
    files, root = fsspec.core.url_to_fs(uri)
    for path in sorted(files.glob(f"{root}/*/*/*.json")):
        yield json.loads(files.cat_file(path))


def day_of(report: Report) -> str:
    """The report's day, or the word for all days."""
    return str(report["day"] or ALL_DAYS)


def days_of(reports: Iterable[Report]) -> list[str]:
    """The days that have run, in order."""
    return sorted({report["day"] for report in reports if report["day"]})


def figures(reports: Sequence[Report], in_hbase: dict[str, int]) -> Figures:
    """`rows` by stage and day, `reasons`, `seconds` and `images_per_second` by stage, all days together; `warnings` of the runs.

    in_hbase: rows of the image table by day.
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
    }


def total_seconds(report: Report) -> float:
    """Seconds of a run from start to end."""
    return float(report["seconds"].get("total", sum(report["seconds"].values())))


def _rate(reports: Sequence[Report]) -> float | None:
    """Rows per second of computing and writing them; None where no rows are written."""
    rows = sum(report["rows_out"] or 0 for report in reports)
    seconds = sum(float(report["seconds"].get("stage", 0.0)) for report in reports)
    return round(rows / seconds, 2) if rows and seconds else None


def elapsed_seconds(reports: Iterable[Report], dag: str) -> float:
    """From the first start to the last end of a DAG's stages; 0 when none has run."""
    starts_and_ends = [
        (start, start + total_seconds(report))
        for report in reports
        if STAGES[report["stage"]].dag == dag
        for start in [datetime.fromisoformat(report["started_at"]).timestamp()]
    ]
    if not starts_and_ends:
        return 0.0
    return max(end for _, end in starts_and_ends) - min(start for start, _ in starts_and_ends)


def hbase_rows(settings: Settings, days: Iterable[str]) -> dict[str, int]:
    """How many rows the image table holds of each day, counted by their keys alone.

    Raises HBaseError when no gateway answers or the table is missing.
    """
    gateways = Gateways(settings.gateways(), settings.hbase_wire)
    try:
        salts = salt_buckets(gateways, settings.hbase_table)
    finally:
        gateways.close()
    return {day: _rows_of_day(settings, date.fromisoformat(day), salts) for day in days}


def _rows_of_day(settings: Settings, day: date, salts: int) -> int:
    gateways = Gateways(settings.gateways(), settings.hbase_wire)
    table = settings.hbase_table.encode()
    scans = [Scan(table, (), *part, condition=_KEYS_ONLY) for part in row_key.day_ranges(day, salts)]
    return sum(len(batch) for scan in scans for batch in scan_batches(gateways, scan, ReadLimits()))
