"""Run reports as the jobs write them: read back for XCom, for a task's error message and for the page."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from spark_jobs.pipeline import PUBLISHED, STAGES, is_day, is_in_use, report_uri
from spark_jobs.settings import Settings

log = logging.getLogger(__name__)

MAX_REPORT_BYTES = 4_000_000
MAX_REPORTS = 2_000
MAX_DAYS_BACK = 400
DAGS = {stage.dag for stage in STAGES.values()}

Report = dict[str, Any]
Entry = dict[str, Any]


def run_of(dag_run: Any) -> str:
    """The run that a job publishes as: a DAG run that has been cleared is a new one, so that its day is computed again.

    An automatic retry keeps the number of clearings, and so the run: what it has published already it does not repeat. Airflow
    names runs by their time, the same in every DAG; one that borrows the stages of another DAG puts its own name before.
    """
    clearings = getattr(dag_run, "clear_number", None) or 0
    run = str(dag_run.run_id) if dag_run.dag_id in DAGS else f"{dag_run.dag_id}__{dag_run.run_id}"
    return f"{run}.{clearings}" if clearings else run


def read_report(files: Any, path: str) -> Report | None:
    """The run report at a path of a file system; None when there is none.

    Raises ValueError when the file is larger than MAX_REPORT_BYTES or not a JSON object.
    """
    if not files.exists(path):
        return None
    if files.size(path) > MAX_REPORT_BYTES:
        raise ValueError(f"{path}: got {files.size(path)} bytes, expected a run report of at most {MAX_REPORT_BYTES}")
    report = json.loads(files.cat_file(path))
    if not isinstance(report, dict):
        raise ValueError(f"{path}: got a JSON {type(report).__name__}, expected an object")
    return report


def report_of(stage: str, day: str | None, run: str) -> Report | None:
    """The run report of one stage of one DAG run; None before the job has written it."""
    import fsspec

    return read_report(*fsspec.core.url_to_fs(report_uri(Settings.from_environment().reports, stage, day, run)))


def report_of_attempt(stage: str, day: str | None, run: str, attempt: int) -> Report | None:
    """The run report of one attempt of a stage; None when that attempt has left none, or none that can be read."""
    try:
        report = report_of(stage, day, run)
    except Exception:  # who asks has an error of their own to tell, whatever the store's is
        log.warning("the report of %s for run %s can not be read", stage, run, exc_info=True)
        return None
    return report if report is not None and report.get("attempt") == attempt else None


def latest_reports(days: int, is_wanted: Callable[[Report], bool] = bool) -> list[Report]:
    """The newest report of each stage and day, newest day first, of the newest `days` days; `all_days` comes first of all.

    is_wanted: which reports count; by default each that can be read.
    """
    files, folders = _folders()
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for folder in folders[: days + 1]:
        for entry in files.glob(f"{folder}/*/*.json", detail=True).values():
            found[_day_and_stage(entry["name"])].append(entry)
    chosen = sorted(found, key=lambda key: (key[0], -_place(key[1])), reverse=True)[:MAX_REPORTS]
    reports = (_newest(files, found[key], is_wanted) for key in chosen)
    return [report for report in reports if report is not None]


def newest_published(stage: str) -> Report | None:
    """The report of the newest day that a stage published in the set of codes in use, among MAX_DAYS_BACK; None without one."""
    codes = Settings.from_environment().codes
    files, folders = _folders()
    for folder in [folder for folder in folders if is_day(_name(folder))][:MAX_DAYS_BACK]:
        entries = files.glob(f"{folder}/{stage}/*.json", detail=True).values()
        report = _newest(files, entries, lambda report: is_in_use(report, codes) and report.get("status") in PUBLISHED)
        if report is not None:
            return report
    return None


def _folders() -> tuple[Any, list[str]]:
    """The file system of the reports and its folders of days, newest first."""
    import fsspec

    files, path = fsspec.core.url_to_fs(Settings.from_environment().reports.rstrip("/"))
    folders = files.ls(path, detail=False) if files.exists(path) else []
    return files, sorted(folders, key=_name, reverse=True)


def _newest(files: Any, entries: Iterable[Entry], is_wanted: Callable[[Report], bool]) -> Report | None:
    """The wanted report that was written last; the log names those that can not be read."""
    for entry in sorted(entries, key=_modified, reverse=True):
        try:
            report = read_report(files, entry["name"])
        except (OSError, ValueError) as error:
            log.warning("run report %s is left out: %s", entry["name"], error)
            continue
        if report is not None and is_wanted(report):
            return report
    return None


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
