"""Scores of codes and of duplicate groups against a truth file, and of the baselines on the same pictures.

The truth is one JSON line per image: day, key, boxes, labels, group, transform, is_counted
(sample_data/catalogue/demo.py writes such files; a team can label its own catalogue in the same form). A pair is true
if both images have the same group; images that are not counted take no part.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.search.codes import Codes, distances
from dlcore.search.duplicates import group_pairs
from dlcore.search.metrics import bit_correlation, bit_entropy, pair_scores, retrieval_by_distance

Address = tuple[str, str]
"""Day (ISO) and key (`<sku>/<n>`) of an image."""

ORIGINAL = "original"
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Truth:
    """The truth about one image: boxes (N, 4) as fractions and labels of its N objects, the first being its subject."""

    address: Address
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    group: str | None
    transform: str | None
    is_counted: bool


def read_truth(path: Path) -> list[Truth]:
    """The lines of a truth file, in order.

    Raises:
        ValueError: a line's boxes are not corners as fractions of the image, or not as many as its labels.
    """
    return [_truth(line, f"{path.name}, line {number}") for number, line in _json_lines(path)]


def read_look_alikes(path: Path) -> list[tuple[Address, Address, str]]:
    """Pairs that must not share a group, and their kind; none if there is no such file."""
    if not path.exists():
        return []
    lines = (line for _, line in _json_lines(path))
    return [(_address(*line["first"]), _address(*line["second"]), line["kind"]) for line in lines]


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line with its number, from 1. Only a line feed ends one: a string may hold other separators (RFC 8259)."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            yield number, json.loads(line)


def _truth(line: Mapping[str, Any], place: str) -> Truth:
    boxes = np.array(line.get("boxes") or [], np.float32).reshape(-1, 4)
    if not ((boxes[:, :2] < boxes[:, 2:]).all() and (boxes >= -_ROUNDING).all() and (boxes <= 1 + _ROUNDING).all()):
        raise ValueError(
            f"{place}: got boxes {boxes.tolist()}, expected x_min, y_min, x_max, y_max as fractions of the image, min "
            f"below max"
        )
    if len(boxes) != len(line.get("labels") or ()):
        raise ValueError(f"{place}: got {len(boxes)} boxes and labels {line.get('labels')}, expected one label per box")
    return Truth(
        _address(line["day"], line["key"]),
        boxes,
        tuple(line.get("labels") or ()),
        line.get("group"),
        line.get("transform"),
        bool(line.get("is_counted", True)),
    )


def _address(day: str, key: str) -> Address:
    return day, key


def labels_of(names: Iterable[str | None]) -> NDArray[np.int64]:
    """Equal names as equal numbers, None as -1."""
    numbers: dict[str, int] = {}
    return np.array([-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def score_duplicates(
    truth: Sequence[Truth],
    groups: Mapping[Address, str],
    look_alikes: Sequence[tuple[Address, Address, str]] = (),
) -> dict[str, Any]:
    """`precision`, `recall`, `f1`, `false_merges`, `by_transform` and `look_alikes_grouped` of predicted groups.

    groups: address -> group of the image. An image without one was not used, and its pairs count as missed.
    by_transform: share of the true pairs of a transformed image and its original that is found.
    look_alikes_grouped: share of the planted look-alike pairs that share a group.
    """
    counted = [row for row in truth if row.is_counted and row.group is not None]
    predicted = labels_of(groups.get(row.address) for row in counted)
    scores: dict[str, Any] = dict(pair_scores(predicted, labels_of(row.group for row in counted)))
    scores["by_transform"] = _recall_by_transform(counted, groups)
    grouped = [_share_group(groups, first, second) for first, second, _ in look_alikes]
    scores["look_alikes_grouped"] = float(np.mean(grouped)) if grouped else 0.0
    return scores


def _recall_by_transform(truth: Sequence[Truth], groups: Mapping[Address, str]) -> dict[str, float]:
    originals = {row.group: row.address for row in truth if row.transform is None}
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for row in truth:
        if row.transform is not None and row.group in originals:
            found[row.transform].append(_share_group(groups, row.address, originals[row.group]))
    return {name: float(np.mean(found[name])) for name in sorted(found)}


def _share_group(groups: Mapping[Address, str], first: Address, second: Address) -> bool:
    return first in groups and groups[first] == groups.get(second)


def score_codes(codes: Codes, groups: NDArray[np.int64]) -> dict[str, float]:
    """`bits`, `entropy_mean`, `correlation`, `recall_at_10` and `map` of codes (N, B) whose true groups are known."""
    entropy = bit_entropy(codes)
    return {
        "bits": 8 * codes.shape[1],
        "entropy_mean": float(entropy.mean()),
        "entropy_min": float(entropy.min()),
        "correlation": bit_correlation(codes),
        **retrieval_by_distance(distances(codes, codes).astype(np.float64), groups),
    }


def score_baseline(
    codes: Codes,
    truth: Sequence[Truth],
    look_alikes: Sequence[tuple[Address, Address, str]] = (),
    precision: float = 0.98,
) -> dict[str, Any]:
    """Scores of plain codes, row by row of `truth`, grouped at the distance that suits them best.

    The distance is chosen on this very truth, so no calibration could do better: the largest whose groups reach the
    precision or, if none does, the one with the best F1.
    """
    apart = distances(codes, codes).astype(np.float64)
    bits = 8 * codes.shape[1]
    limits = np.unique(np.linspace(0, 0.4 * bits, 27).round())
    tried = [score_duplicates(truth, groups_at(apart, truth, limit), look_alikes) for limit in limits]
    precise = [scores for scores in tried if scores["precision"] >= precision]
    best = max(precise, key=lambda scores: scores["recall"], default=None)
    by_f1 = max(tried, key=lambda scores: scores["f1"])
    chosen = best if best is not None and best["recall"] > 0 else by_f1
    return {**score_codes(codes, labels_of(row.group for row in truth)), **chosen, "best_f1": by_f1["f1"]}


def groups_at(apart: NDArray[np.float64], truth: Sequence[Truth], limit: float) -> dict[Address, str]:
    """Groups by average linkage of all pairs at most `limit` apart, named after their first member."""
    scale = max(float(apart.max()), 1.0) + 1.0
    i, j = np.nonzero(np.triu(apart <= limit, 1))
    groups = {row.address: f"single {n}" for n, row in enumerate(truth)}
    for group in group_pairs(len(truth), (i, j), lambda a, b: 1 - apart[a, b] / scale, 1 - limit / scale):
        groups |= {truth[member].address: f"group {group.members[0]}" for member in group.members}
    return groups
