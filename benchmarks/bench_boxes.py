"""How well each detector finds things on pictures of other makers, how alike it cuts a picture and its changed copy,
and what that costs.

    .venv/bin/python benchmarks/bench_boxes.py [--json] [--sets stamps emoji fashion] [--models FOLDER]

Every artefact `detector-*` of the folder is judged on the sets of `bench_quality.py`. Costs are CPU time, the detectors
in turn over the same pictures; the column `cost` is that of the first detector times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from time import process_time

PROJECT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.bench_quality import FOLDER, any_ap50, cut_out, repeatability  # noqa: E402
from benchmarks.quality_sets import SETS, QualitySet, quality_set  # noqa: E402
from dlcore.vision.detector import Detector, load_detector  # noqa: E402
from spark_jobs.stages.crop import WHOLE_IMAGE  # noqa: E402

_TIMED, _PASSES = 64, 5
_COLUMNS = ("any_ap50", "repeatability", "whole_pictures", "cpu_ms", "cost")

Row = dict[str, str | float]


def judge_boxes(made: QualitySet, models: Path) -> list[Row]:
    """A row for each detector of the folder on a set; whole_pictures: share of the pictures that are not cut at all."""
    detectors = {path.name: load_detector(str(path)) for path in sorted(models.glob("detector-*"))}
    spent, rows = _costs(list(detectors.values()), made), []
    for (name, detector), cost in zip(detectors.items(), spent, strict=True):
        cut = cut_out(detector, made.items)
        whole = float(np.mean([crop.source == WHOLE_IMAGE for crop in cut.crops]))
        scores = (any_ap50(cut, made), repeatability(cut, made), whole, cost, cost / spent[0])
        rows.append({"set": made.name, "detector": name, **dict(zip(_COLUMNS, scores, strict=True))})
    return rows


def _costs(detectors: Sequence[Detector], made: QualitySet) -> list[float]:
    """CPU milliseconds of a picture with each detector: medians of passes in turn over the same pictures."""
    pictures, spent = [item.pixels for item in made.items[:_TIMED]], []
    for _ in range(_PASSES):
        row = []
        for detector in detectors:
            begun = process_time()
            detector.find(pictures)
            row.append((process_time() - begun) * 1e3 / len(pictures))
        spent.append(row)
    return [float(value) for value in np.median(spent, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, and nothing else on stdout")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--models", type=Path, default=PROJECT / "models")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the packages are unpacked, and kept")
    options = parser.parse_args()
    with redirect_stdout(sys.stderr):
        rows = [row for name in options.sets for row in judge_boxes(quality_set(name, options.folder), options.models)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table(
        "set", "detector", *(name.replace("_", " ") for name in _COLUMNS), title="Boxes on pictures of other makers"
    )
    for row in rows:
        table.add_row(str(row["set"]), str(row["detector"]), *(f"{row[name]:.3f}" for name in _COLUMNS))
    Console().print(table)


if __name__ == "__main__":
    main()
