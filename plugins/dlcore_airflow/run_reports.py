"""Run reports as the jobs write them: read back for XCom, for a task's error message and for the page."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from spark_jobs.pipeline import STAGES, report_uri
from spark_jobs.settings import Settings

MAX_REPORT_BYTES = 4_000_000
MAX_REPORTS = 2_000
DAGS = {stage.dag for stage in STAGES.values()}

Report = dict[str, Any]


def run_of(dag_run: Any) -> str:
    """The run that a job publishes as: a DAG run that has been cleared is a new one, so that its day is computed again.

    An automatic retry keeps the number of clearings, and so the run: what it has published already it does not repeat. Airflow
    names runs by their time, the same in every DAG; one that borrows the stages of another DAG puts its own name before.
    """
    clearings = getattr(dag_run, "clear_number", None) or 0
    run = str(dag_run.run_id) if dag_run.dag_id in DAGS else f"{dag_run.dag_id}__{dag_run.run_id}"
    return f"{run}.{clearings}" if clearings else run


def read_report(uri: str) -> Report | None:
    """The run report at `uri`; None when there is none.

    Raises ValueError when the file is larger than MAX_REPORT_BYTES or not a JSON object.
    """
    import fsspec

    files, path = fsspec.core.url_to_fs(uri)
    if not files.exists(path):
        return None
    if files.size(path) > MAX_REPORT_BYTES:
        raise ValueError(f"{uri}: got {files.size(path)} bytes, expected a run report of at most {MAX_REPORT_BYTES}")
    report = json.loads(files.cat_file(path))
    if not isinstance(report, dict):
        raise ValueError(f"{uri}: got a JSON {type(report).__name__}, expected an object")
    return report


def report_of(stage: str, day: str | None, run: str) -> Report | None:
    """The run report of one stage of one DAG run; None before the job has written it."""
    return read_report(report_uri(Settings.from_environment().reports, stage, day, run))


def latest_reports(days: int) -> list[Report]:
    """The newest report of each stage and day, newest day first, of the newest `days` days; `all_days` comes first of all."""
    import fsspec

    root = Settings.from_environment().reports.rstrip("/")
    files, path = fsspec.core.url_to_fs(root)
    if not files.exists(path):
        return []
    folders = sorted((folder for folder in files.ls(path, detail=False)), key=_name, reverse=True)[: days + 1]
    newest: dict[tuple[str, str], tuple[float, str]] = {}
    for folder in folders:
        for entry in files.glob(f"{folder}/*/*.json", detail=True).values():
            key = _day_and_stage(entry["name"])
            modified = float(entry.get("mtime") or entry.get("modificationTime") or 0)
            newest[key] = max(newest.get(key, (-1.0, "")), (modified, entry["name"]))
    chosen = sorted(newest, key=lambda key: (key[0], -_place(key[1])), reverse=True)[:MAX_REPORTS]
    reports = (read_report(files.unstrip_protocol(newest[key][1])) for key in chosen)
    return [report for report in reports if report is not None]


def _name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _day_and_stage(path: str) -> tuple[str, str]:
    day, stage, _ = path.rsplit("/", 3)[-3:]
    return unquote(day), stage


def _place(stage: str) -> int:
    names = list(STAGES)
    return names.index(stage) if stage in names else len(names)
