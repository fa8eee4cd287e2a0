"""How well the product as it ships finds copies, and products in pictures, on pictures that nobody here made, and on
generated ones.

    .venv/bin/python benchmarks/bench_quality.py [--json] [--sets stamps emoji fashion generated]
        [--models FOLDER] [--extractor NAME]

Each set goes through the stages' own functions: detect, crop, extract, calibrate without labels, group. Only the scores
see the truth. Beside it stand pHash, ITQ and random projection at the threshold that suits each best on that truth
(`f1`), which no calibration could better, and those at 98 % precision.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from time import perf_counter
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "2")
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.quality_sets import SETS, Item, QualitySet, quality_set  # noqa: E402
from dlcore.boxes import iou  # noqa: E402
from dlcore.interop.artefact import load_artefact  # noqa: E402
from dlcore.search.codes import distances  # noqa: E402
from dlcore.search.duplicates import Group  # noqa: E402
from dlcore.search.signatures import luminance_hash  # noqa: E402
from dlcore.search.verification import Signatures, Verifier, joined  # noqa: E402
from dlcore.vision.detection_output import Detections  # noqa: E402
from dlcore.vision.detection_score import TrueObjects, mean_average_precision  # noqa: E402
from dlcore.vision.detector import Detector, Findings, load_detector  # noqa: E402
from dlcore.vision.extractor import HASH_SIDE, Extractor, load_extractor  # noqa: E402
from dlcore.vision.pixels import Pixels, resized  # noqa: E402
from spark_jobs.calibrate_duplicates import CHANGES  # noqa: E402
from spark_jobs.scoring.baselines import baselines  # noqa: E402
from spark_jobs.scoring.evaluation import Address, Truth, labels_of, score_codes, score_duplicates  # noqa: E402
from spark_jobs.stages.calibration import Calibration, ChangedViews, Target, calibrate, verifier_from  # noqa: E402
from spark_jobs.stages.changed_copies import Picture, changed_views, cut_by, signed  # noqa: E402
from spark_jobs.stages.crop import WHOLE_IMAGE, Crop, CropPolicy, choose_crops  # noqa: E402
from spark_jobs.stages.duplicates import find_groups  # noqa: E402
from spark_jobs.stages.extractors import usual_extractor  # noqa: E402
from spark_jobs.training.feature_judging import WHOLE_SIDE  # noqa: E402

GRADES = ("easy", "medium", "hard")
PROMISED = (0.9, 0.95, 0.97, 0.99)
"""Precisions that a calibration is asked for, beside the one by default."""
_SAMPLE, _COPIES = 160, 8
"""The defaults of the job `calibrate_duplicates`."""
FOLDER = Path(tempfile.gettempdir()) / "quality_sets"
_PLAIN = (
    "f1", "precision", "precision_without_look_alikes", "promised_precision", "recall", "promised_recall", "r_at_1",
    "map",
    "any_ap50", "repeatability", "images_per_second",
)  # fmt: skip

Pair = tuple[Address, Address, str]


@dataclass(frozen=True)
class Cut:
    """What the detector and the crop policy made of a set, item by item."""

    findings: list[Findings]
    crops: list[Crop]
    parts: list[Pixels]


def cut_out(detector: Detector, items: Sequence[Item]) -> Cut:
    """The crop that the pipeline would take of each item."""
    findings = detector.find([item.pixels for item in items])
    crops = [
        choose_crops(found.objects, item.pixels.shape[1], item.pixels.shape[0], CropPolicy())[0]
        for found, item in zip(findings, items, strict=True)
    ]
    parts = [item.pixels[c.y_min : c.y_max, c.x_min : c.x_max] for c, item in zip(crops, items, strict=True)]
    return Cut(findings, crops, parts)


def small(pictures: Sequence[Pixels]) -> Pixels:
    """The pictures (N, HASH_SIDE, HASH_SIDE, 3)."""
    return np.stack([resized(picture, HASH_SIDE) for picture in pictures])


def calibrated(
    detector: Detector, extractor: Extractor, verifier: Verifier, items: Sequence[Item], cut: Cut, all_: Signatures
) -> Callable[[Target], Calibration]:
    """Thresholds by the product's own calibration: it changes pictures of the set itself and sees no truth."""
    rows = np.random.default_rng(0).permutation(len(items))[:_SAMPLE]
    pictures = [_picture(items[row].pixels, cut.crops[row]) for row in rows]
    others = [*pictures[1:], pictures[0]]
    parts, sources, changes = [], [], []
    for place, (row, picture, other) in enumerate(zip(rows, pictures, others, strict=True)):
        views = changed_views(picture, other, CHANGES, np.random.default_rng(int(row)), _COPIES)
        changed = [view.pixels for view in views]
        parts.append(signed(cut_by(detector)(changed), changed, extractor))
        sources += [place] * len(views)
        changes += [view.change for view in views]
    changed = ChangedViews(reduce(joined, parts), np.array(sources), np.array(changes))
    return partial(calibrate, verifier, extractor.version, all_.take(rows), changed, all_)


def _picture(pixels: Pixels, crop: Crop) -> Picture:
    is_whole = crop.source == WHOLE_IMAGE
    return Picture(pixels, None if is_whole else (crop.x_min, crop.y_min, crop.x_max, crop.y_max))


def judge(name: str, models: Path, folder: Path, named: str) -> dict[str, Any]:
    """Every score of one set, with the extractor of that name."""
    made = quality_set(name, folder)
    detector, extractor = load_detector(str(models / "detector-small")), load_extractor(str(models / named))
    begun = perf_counter()
    cut = cut_out(detector, made.items)
    wholes = small([item.pixels for item in made.items])
    signatures = extractor.signatures(cut.parts, luminance_hash(wholes), [item.pixels for item in made.items])
    seconds = perf_counter() - begun
    verifier = verifier_from(load_artefact(str(models / named)).metadata["verifier"])
    calibrate_for = calibrated(detector, extractor, verifier, made.items, cut, signatures)
    calibration = calibrate_for(Target())
    truth = [_truth(number, item) for number, item in enumerate(made.items)]
    look_alikes = [(truth[a].address, truth[b].address, kind) for a, b, kind in made.look_alikes]
    return {
        "set": name,
        "items": len(truth),
        **_duplicate_scores(made, truth, look_alikes, find_groups(signatures, calibration)),
        "promised_precision": calibration.expected["precision"],
        "promised_recall": calibration.expected["recall"],
        "promises": [promise(target, calibrate_for(target), signatures, truth) for target in map(Target, PROMISED)],
        **_retrieval(signatures, truth),
        "any_ap50": any_ap50(cut, made),
        "repeatability": repeatability(cut, made),
        "images_per_second": round(len(truth) / seconds, 1),
        "extractor": named,
        "baselines": _beside(extractor, cut, made, truth, look_alikes),
    }


def promise(target: Target, calibration: Calibration, signatures: Signatures, truth: Sequence[Truth]) -> dict[str, Any]:
    """What a calibration promises, in what it misses its target, and what its groups are seen to be."""
    seen = score_duplicates(truth, _group_names(truth, find_groups(signatures, calibration)))
    promised = {f"promised_{name}": calibration.expected[name] for name in ("precision", "recall")}
    told = {"threshold": calibration.threshold, "missed": target.missed(calibration.expected), **promised}
    return {**told, "precision": seen["precision"], "recall": seen["recall"]}


def _group_names(truth: Sequence[Truth], found: Sequence[Group]) -> dict[Address, str]:
    groups = {row.address: f"single {n}" for n, row in enumerate(truth)}
    for group in found:
        groups |= {truth[member].address: f"group {group.members[0]}" for member in group.members}
    return groups


def _duplicate_scores(
    made: QualitySet, truth: Sequence[Truth], look_alikes: Sequence[Pair], found: Sequence[Group]
) -> dict[str, Any]:
    """Scores of the groups; `precision_without_look_alikes` is among all items but the second of each look-alike
    pair."""
    groups = _group_names(truth, found)
    scores = score_duplicates(truth, groups, look_alikes)
    left_out = {second for _, second, _ in made.look_alikes}
    kept = [row for number, row in enumerate(truth) if number not in left_out]
    return {
        **{key: scores[key] for key in ("f1", "precision", "recall")},
        "precision_without_look_alikes": score_duplicates(kept, groups)["precision"],
        "recall_by_grade": _by_grade(made, truth, groups),
        "look_alikes": len(look_alikes),
        "look_alikes_merged": round(scores["look_alikes_grouped"] * len(look_alikes)),
        "by_change": scores["by_transform"],
    }


def _truth(number: int, item: Item) -> Truth:
    height, width = item.pixels.shape[:2]
    box = np.array([item.box]) / [width, height, width, height]
    return Truth(("set", str(number)), box.astype(np.float32), ("thing",), str(item.group), item.change, True)


def _by_grade(made: QualitySet, truth: Sequence[Truth], groups: dict[Address, str]) -> dict[str, float]:
    """Share of the copies of each grade that are in the group of their original."""
    found: dict[str, list[bool]] = {grade: [] for grade in GRADES}
    for item, row in zip(made.items, truth, strict=True):
        if item.grade is not None:
            found[item.grade].append(groups[row.address] == groups[truth[item.group].address])
    return {grade: float(np.mean(hits)) for grade, hits in found.items()}


def _retrieval(signatures: Signatures, truth: Sequence[Truth]) -> dict[str, float]:
    """Retrieval by the codes alone; ties count against us."""
    groups, apart = labels_of(row.group for row in truth), distances(signatures.codes, signatures.codes)
    return {"r_at_1": first_hits(apart, groups), "map": score_codes(signatures.codes, groups)["map"]}


def first_hits(apart: NDArray[np.integer], groups: NDArray[np.integer]) -> float:
    """Share of the pictures with partners whose nearest other is one of them; of equally near ones the worst counts."""
    same = groups[:, None] == groups[None, :]
    np.fill_diagonal(same, False)
    far = apart.astype(np.float64) + 1e9 * np.eye(len(apart))
    has_partner = same.any(axis=1)
    nearest = np.where(same, far, np.inf).min(axis=1) < np.where(same, np.inf, far).min(axis=1)
    return float(nearest[has_partner].mean())


def any_ap50(cut: Cut, made: QualitySet) -> float:
    """Average precision of the published boxes, whatever their labels."""
    found = [
        Detections(
            np.ones(len(f.objects), np.int64),
            np.array([o.score for o in f.objects], np.float32),
            np.array([[o.x_min, o.y_min, o.x_max, o.y_max] for o in f.objects], np.float32).reshape(-1, 4),
        )
        for f in cut.findings
    ]
    true = [TrueObjects(np.ones(1, np.int64), _truth(0, item).boxes) for item in made.items]
    return mean_average_precision(found, true).map


def repeatability(cut: Cut, made: QualitySet) -> float:
    """Mean overlap (IoU) of the crop of a copy with the crop of its original, carried along by the change."""
    values = []
    for item, crop in zip(made.items, cut.crops, strict=True):
        if item.change is not None:
            moved = np.array([item.moved(cut.crops[item.group][:4])], np.float32)
            values.append(float(iou(moved, np.array([crop[:4]], np.float32))[0, 0]))
    return float(np.mean(values))


def _beside(
    extractor: Extractor, cut: Cut, made: QualitySet, truth: Sequence[Truth], look_alikes: Sequence[Pair]
) -> dict[str, Any]:
    """Plain codes at the distance that suits them best on this truth."""
    wholes = np.stack([resized(item.pixels, WHOLE_SIDE) for item in made.items])
    rows = baselines(extractor, small(cut.parts), wholes, truth, look_alikes)
    return {name: {"best_f1": row["best_f1"], "map": row["map"]} for name, row in rows.items()}


def main() -> None:
    """Measure the sets of the command line and print their rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, and nothing else on stdout")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--models", type=Path, default=PROJECT / "models")
    parser.add_argument("--extractor", default=usual_extractor(str(PROJECT / "models"))[0], help="name of its artefact")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the packages are unpacked, and kept")
    options = parser.parse_args()
    with redirect_stdout(sys.stderr):
        rows = [judge(name, options.models, options.folder, options.extractor) for name in options.sets]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        Console().print(_table(rows))


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("", *(row["set"] for row in rows), title="Copies and products on pictures of other makers")
    for name in _PLAIN:
        table.add_row(name.replace("_", " "), *(f"{row[name]:.3f}" for row in rows))
    grades = [[f"{row['recall_by_grade'][grade]:.2f}" for grade in GRADES] for row in rows]
    table.add_row(f"recall {' / '.join(GRADES)}", *(" / ".join(cells) for cells in grades))
    for number in range(len(PROMISED)):
        asked = [row["promises"][number] for row in rows]
        told = (
            f"{p['promised_precision']:.3f} / {p['precision']:.3f}, {p['recall']:.2f}{', missed' * bool(p['missed'])}"
            for p in asked
        )
        table.add_row(f"asked for {PROMISED[number]}: promised / seen, recall", *told)
    table.add_row("look-alikes merged", *(f"{row['look_alikes_merged']} of {row['look_alikes']}" for row in rows))
    for peer in rows[0]["baselines"]:
        beside = [row["baselines"][peer] for row in rows]
        table.add_row(f"{peer}: best F1 / mAP", *(f"{row['best_f1']:.3f} / {row['map']:.3f}" for row in beside))
    return table


if __name__ == "__main__":
    main()
