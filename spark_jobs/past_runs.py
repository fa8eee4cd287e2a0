"""What past runs did, from their run reports: the newest of each stage and day, and the time they took."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import fsspec

from spark_jobs.pipeline import ALL_DAYS, PUBLISHED, STAGES, is_in_use
from spark_jobs.settings import Settings

log = logging.getLogger(__name__)

Report = dict[str, Any]


def newest_reports(settings: Settings) -> list[Report]:
    """The newest successful run of each stage and day, of the set of codes in use, in the order of the stages, then of the days."""
    newest: dict[tuple[str, str], Report] = {}
    for report in _reports(settings.reports):
        place = report["stage"], report["day"] or ALL_DAYS
        is_newer = place not in newest or newest[place]["started_at"] <= report["started_at"]
        if report["status"] in PUBLISHED and is_in_use(report, settings.codes) and is_newer:
            newest[place] = report
    order = list(STAGES)
    return [newest[place] for place in sorted(newest, key=lambda place: (order.index(place[0]), place[1]))]


def newest_report(settings: Settings, stage: str, day: str) -> Report | None:
    """The run that published a day last in the settings' set of codes, were it to empty or undo the day; None when there is none."""
    reports = _reports(settings.reports, day, stage)
    found = [report for report in reports if report["status"] in PUBLISHED and report.get("codes") == settings.codes]
    return max(found, key=lambda report: str(report["started_at"]), default=None)


def _reports(uri: str, day: str = "*", stage: str = "*") -> Iterator[Report]:
    files, root = fsspec.core.url_to_fs(uri)
    yield from readable(files, sorted(files.glob(f"{root}/{day}/{stage}/*.json")))


def readable(files: Any, paths: Iterable[str]) -> Iterator[Report]:
    """The run reports at these paths of a file system; the log names those that are no JSON object, or are gone."""
    for path in paths:
        try:
            report = json.loads(files.cat_file(path))
            if not isinstance(report, dict):
                raise ValueError(f"got a JSON {type(report).__name__}, expected an object")
        except (OSError, ValueError) as error:
            log.warning("run report %s is left out: %s", path, error)
        else:
            yield report


def total_seconds(report: Report) -> float:
    """Seconds of a run from start to end."""
    return float(report["seconds"].get("total", sum(report["seconds"].values())))


def interval(report: Report) -> tuple[float, float]:
    """When a run started and ended, in seconds since 1970."""
    start = datetime.fromisoformat(report["started_at"]).timestamp()
    return start, start + total_seconds(report)


def busy_seconds(reports: Iterable[Report]) -> float:
    """For how long at least one of the runs was under way: what they took together, however many ran side by side."""
    busy = last = 0.0
    for start, end in sorted(map(interval, reports)):
        busy += max(0.0, end - max(start, last))
        last = max(last, end)
    return busy
