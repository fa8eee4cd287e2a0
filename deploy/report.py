"""The report of a demo: what each stage did with each day's rows, why rows were not used, how fast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from spark_jobs.settings import Settings


def write_report(settings: Settings, truth: Path, folder: Path) -> None:
    """Write `report.json` about all published days.

    settings: where the run reports are.   truth: the catalogue's `truth.jsonl`.   folder: where the report goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, dict[str, dict[str, Any]]] = {"rows": {}, "reasons": {}, "seconds": {}, "images_per_second": {}}
    for report in _run_reports(settings):
        day = report["day"] or "all_days"
        content["rows"].setdefault(report["stage"], {})[day] = report["rows_out"]
        for key in ("reasons", "seconds", "images_per_second"):
            content[key].setdefault(report["stage"], {})[day] = report[key]
    (folder / "report.json").write_text(json.dumps(content, indent=1, sort_keys=True))


def _run_reports(settings: Settings) -> Iterator[dict[str, Any]]:
    filesystem, root = fsspec.core.url_to_fs(settings.reports)
    for path in sorted(filesystem.glob(f"{root}/*/*/*.json")):
        yield json.loads(filesystem.cat_file(path))
