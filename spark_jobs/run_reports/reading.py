"""Past run reports, read back for a task's XCom and error, the page, the metrics, the cost sheet and the drift of the
codes.

A report lies at `<reports>/<day>/<stage>/<run>.json` (`pipeline.report_uri`). Functions that read many skip those they
cannot read and log their names. Standard library at import, since Airflow's scheduler imports it; fsspec when it reads.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from spark_jobs.pipeline import ALL_DAYS, PUBLISHED, RUNNING, STAGES, is_day, is_in_use, report_uri
from spark_jobs.settings import Settings

logger = logging.getLogger(__name__)

MAX_REPORT_BYTES = 4_000_000
MAX_REPORTS = 2_000
MAX_DAYS_BACK = 400
MAX_UNDER_WAY = 200
SILENT_FOR_GOOD_S = 24 * 3600

PastRun = dict[str, Any]
"""A run report as read back: the fields of `spark_jobs.running.run_report.RunReport` that its version wrote."""
Entry = dict[str, Any]


def read_report(files: Any, path: str) -> PastRun | None:
    """The run report at a path of a file system; None if there is none.

    Raises:
        ValueError: the file is larger than MAX_REPORT_BYTES or not a JSON object.
    """
    if not files.exists(path):
        return None
    if files.size(path) > MAX_REPORT_BYTES:
        raise ValueError(f"{path}: got {files.size(path)} bytes, expected a run report of at most {MAX_REPORT_BYTES}")
    report = json.loads(files.cat_file(path))
    if not isinstance(report, dict):
        raise ValueError(f"{path}: got a JSON {type(report).__name__}, expected an object")
    return report


def readable(files: Any, paths: Iterable[str]) -> Iterator[PastRun]:
    """The run reports at these paths of a file system; those that cannot be read, or are gone, are logged."""
    for path in paths:
        try:
            report = read_report(files, path)
        except (OSError, ValueError) as error:
            logger.warning("run report %s is left out: %s", path, error)
        else:
            if report is not None:
                yield report


def report_of(reports: str, stage: str, day: str | None, run: str) -> PastRun | None:
    """The run report of one stage of one run, below the URI `reports`; None before the job has written it.

    Raises:
        ValueError: no such stage or day, or the file is no run report.
    """
    return read_report(*_opened(report_uri(reports, stage, day, run)))


def report_of_attempt(reports: str, stage: str, day: str | None, run: str, attempt: int) -> PastRun | None:
    """The run report of one attempt of a stage; None if that attempt left none, or none that can be read."""
    try:
        report = report_of(reports, stage, day, run)
    except Exception:  # the caller has an error of its own to tell, whatever the store's is
        logger.warning("the report of %s for run %s cannot be read", stage, run, exc_info=True)
        return None
    return report if report is not None and report.get("attempt") == attempt else None


def latest_reports(reports: str, days: int, is_wanted: Callable[[PastRun], bool] = bool) -> list[PastRun]:
    """The newest report of each stage and day, newest day first, of the newest `days` days; `all_days` comes first of
    all.

    is_wanted: which reports count; by default all that can be read.
    """
    files, folders = _days(reports)
    known = [folder for folder in folders if is_day(_name(folder)) or _name(folder) == ALL_DAYS]
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for folder in known[: days + 1]:
        for entry in files.glob(f"{folder}/*/*.json", detail=True).values():
            found[_day_and_stage(entry["name"])].append(entry)
    chosen = sorted(found, key=lambda key: (key[0], -_place(key[1])), reverse=True)[:MAX_REPORTS]
    newest = (_newest(files, found[key], is_wanted) for key in chosen)
    return [report for report in newest if report is not None]


def reports_of_days(reports: str, days: int, until: str = "") -> list[PastRun]:
    """Every run report of the newest `days` days, and those over all days; at most the MAX_REPORTS that were written
    last.

    until: the last day to count, ISO; empty for the newest.
    """
    files, folders = _days(reports)
    of_days = [folder for folder in folders if is_day(_name(folder)) and _name(folder) <= (until or "9999")][:days]
    over_all = [folder for folder in folders if _name(folder) == ALL_DAYS]
    entries = [
        entry for folder in [*over_all, *of_days] for entry in files.glob(f"{folder}/*/*.json", detail=True).values()
    ]
    newest = sorted(entries, key=_modified, reverse=True)[:MAX_REPORTS]
    return list(readable(files, [entry["name"] for entry in newest]))


def attempts_under_way(reports: str, at: datetime) -> list[PastRun]:
    """What attempts under way at a moment tell about themselves, oldest first, with `silent_s`: the seconds since they
    last did.

    Attempts that have been silent for SILENT_FOR_GOOD_S are left out: they were killed, and nobody has tried again.
    """
    files, root = _opened(reports)
    folder = f"{root}/{RUNNING}"
    entries = files.ls(folder, detail=True) if files.exists(folder) else []
    newest = sorted(entries, key=_modified, reverse=True)[:MAX_UNDER_WAY]
    paths = [entry["name"] for entry in newest if entry["name"].endswith(".json")]
    found = [report | {"silent_s": _silent_s(report, at)} for report in readable(files, paths)]
    known = [report for report in found if report["silent_s"] < SILENT_FOR_GOOD_S]
    return sorted(known, key=lambda report: str(report.get("started_at")))


def _silent_s(report: PastRun, at: datetime) -> float:
    try:
        return (at - datetime.fromisoformat((report.get("progress") or {})["seen_at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return float(SILENT_FOR_GOOD_S)


def for_readers(reports: Iterable[PastRun], codes: str) -> dict[str, dict[str, PastRun]]:
    """Day -> stage -> the run whose rows readers get, in the set `codes`: the one that published last, which may be an
    undoing."""
    found: dict[str, dict[str, PastRun]] = defaultdict(dict)
    for report in sorted(reports, key=lambda report: str(report.get("started_at"))):
        is_of_set = report.get("stage") in STAGES and report.get("codes") in (None, codes) and not report.get("trial")
        if is_of_set and report.get("status") in PUBLISHED:
            found[report.get("day") or ALL_DAYS][report["stage"]] = report
    return dict(found)


def newest_published(
    reports: str, stage: str, codes: str, is_wanted: Callable[[PastRun], bool] = bool
) -> PastRun | None:
    """The report of the newest day that a stage published in the set `codes`, among MAX_DAYS_BACK days; None if there
    is none.

    is_wanted: which of these reports count; by default all.
    """
    found = newest_published_by_day(reports, stage, codes, most=1, is_wanted=is_wanted)
    return next(iter(found.values()), None)


def newest_published_by_day(
    reports: str,
    stage: str,
    codes: str,
    most: int = MAX_DAYS_BACK,
    statuses: Collection[str] = PUBLISHED,
    is_wanted: Callable[[PastRun], bool] = bool,
) -> dict[str, PastRun]:
    """Day -> the report that a stage published last in the set `codes`, newest day first; at most `most` days, of
    MAX_DAYS_BACK.

    statuses: which reports count, by default those of rows that readers got.
    is_wanted: which of these count; by default all.
    For a stage that does not depend on the set of codes, the set is ignored.
    """

    def counts(report: PastRun) -> bool:
        return is_in_use(report, codes) and report.get("status") in statuses and is_wanted(report)

    found: dict[str, PastRun] = {}
    files, folders = _days(reports)
    for folder in [folder for folder in folders if is_day(_name(folder))][:MAX_DAYS_BACK]:
        entries = files.glob(f"{folder}/{stage}/*.json", detail=True).values()
        report = _newest(files, entries, counts)
        if report is not None:
            found[_name(folder)] = report
        if len(found) == most:
            break
    return found


def newest_reports(settings: Settings) -> list[PastRun]:
    """The newest successful run of each stage and day in the set of codes in use, in the order of the stages, then of
    the days."""
    newest: dict[tuple[str, str], PastRun] = {}
    for report in _all(settings.reports):
        place = report["stage"], report["day"] or ALL_DAYS
        is_newer = place not in newest or newest[place]["started_at"] <= report["started_at"]
        if report["status"] in PUBLISHED and is_in_use(report, settings.codes) and is_newer:
            newest[place] = report
    return [newest[place] for place in sorted(newest, key=lambda place: (_place(place[0]), place[1]))]


def newest_report(settings: Settings, stage: str, day: str) -> PastRun | None:
    """The run that published a day last in the settings' set of codes, even if it emptied or undid the day; None if
    there is none."""
    found = [
        report
        for report in _all(settings.reports, day, stage)
        if report["status"] in PUBLISHED and report.get("codes") == settings.codes and not report.get("trial")
    ]
    return max(found, key=lambda report: str(report["started_at"]), default=None)


def published_of_day(reports: str, day: str) -> list[PastRun]:
    """The reports of all runs and stages whose rows of a day readers got, at least for a while; of no trial."""
    return [report for report in _all(reports, day) if report.get("status") in PUBLISHED and not report.get("trial")]


def remove_trial_reports(reports: str) -> int:
    """Remove the run reports of trials; return how many there were."""
    files, root = _opened(reports)
    found = [
        path for path in files.glob(f"{root}/*/*/*.json") for report in readable(files, [path]) if report.get("trial")
    ]
    for path in found:
        files.rm(path)
    return len(found)


def _all(reports: str, day: str = "*", stage: str = "*") -> Iterator[PastRun]:
    files, root = _opened(reports)
    yield from readable(files, sorted(files.glob(f"{root}/{day}/{stage}/*.json")))


def _opened(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it."""
    import fsspec

    files, path = fsspec.core.url_to_fs(uri.rstrip("/"))
    return files, path


def _days(reports: str) -> tuple[Any, list[str]]:
    """The file system of the reports and its folders of days, newest first."""
    files, path = _opened(reports)
    folders = files.ls(path, detail=False) if files.exists(path) else []
    return files, sorted(folders, key=_name, reverse=True)


def _newest(files: Any, entries: Iterable[Entry], is_wanted: Callable[[PastRun], bool]) -> PastRun | None:
    """The wanted report that was written last."""
    paths = [entry["name"] for entry in sorted(entries, key=_modified, reverse=True)]
    return next((report for report in readable(files, paths) if is_wanted(report)), None)


def _modified(entry: Entry) -> float:
    return float(entry.get("mtime") or entry.get("modificationTime") or 0)


def _name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _day_and_stage(path: str) -> tuple[str, str]:
    day, stage, _ = path.rsplit("/", 3)[-3:]
    return unquote(day), stage


def _place(stage: str) -> int:
    names = list(STAGES)
    return names.index(stage) if stage in names else len(names)
