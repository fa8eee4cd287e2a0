"""Measure a detector: average precision as PASCAL VOC defines it, and the best threshold for finding any object.

Source: Everingham et al. 2010 and the development kit: a detection is right when it overlaps a true box of its class,
not yet found by a better one, by more than half; objects marked difficult count neither way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.optim.detection_metric import Ints, average_precision, judged, precision_recall
from dlcore.vision.detection_output import Detections

__all__ = [
    "DetectionScore", "Threshold", "TrueObjects", "all_kept", "average_precision", "best_threshold",
    "mean_average_precision",
    "precision_recall",
]  # fmt: skip


@dataclass(frozen=True)
class TrueObjects:
    """What is in one image: labels (G,) int (index of the class, the background is 0), boxes (G, 4) in the units of the
    detections, is_difficult (G,) or None."""

    labels: Ints
    boxes: Array
    is_difficult: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class DetectionScore:
    """map: mean of `per_class`, which has the average precision, by index, of each class with an object that counts."""

    map: float
    per_class: dict[int, float]


def _of_class(
    label: int, found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float
) -> tuple[Array, Ints, int]:
    """Scores and verdicts of all detections of a class (0: of any class, ignoring labels), and the number of true
    objects."""
    scores, verdicts, objects = [], [], 0
    for detections, true in zip(found, truth, strict=True):
        ours = detections.labels == label if label else np.ones(len(detections.labels), bool)
        theirs = true.labels == label if label else np.ones(len(true.labels), bool)
        difficult = (true.is_difficult if true.is_difficult is not None else np.zeros(len(true.labels), bool))[theirs]
        order = np.argsort(-detections.scores[ours], kind="stable")
        scores.append(detections.scores[ours][order])
        verdicts.append(judged(detections.boxes[ours][order], true.boxes[theirs], difficult, overlap))
        objects += int((~difficult).sum())
    return np.concatenate(scores), np.concatenate(verdicts), objects


def mean_average_precision(
    found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float = 0.5, eleven_point: bool = False
) -> DetectionScore:
    """The score of detections against the truth, image by image. A class that has only difficult objects has no score.

    Raises:
        ValueError: the lists differ in length, or no object in the truth counts.
    """
    labels = sorted({int(label) for true in truth for label in true.labels})
    if len(found) != len(truth):
        raise ValueError(f"got {len(found)} images with detections and {len(truth)} with truth, expected as many")
    judged = {label: _of_class(label, found, truth, overlap) for label in labels}
    per_class = {
        label: average_precision(*precision_recall(scores, verdicts, objects)[1:], eleven_point)
        for label, (scores, verdicts, objects) in judged.items()
        if objects
    }
    if not per_class:
        raise ValueError(f"got truth of {len(truth)} images without an object that is not difficult, expected some")
    return DetectionScore(float(np.mean(list(per_class.values()))), per_class)


@dataclass(frozen=True)
class Threshold:
    """A score to cut at, and the scores of the detections above it, ignoring labels."""

    score: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


def best_threshold(found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float = 0.5) -> Threshold:
    """The threshold with the best F1 for finding objects of any class: just below the lowest score that is kept."""
    scores, precision, recall = precision_recall(*_of_class(0, found, truth, overlap))
    if not len(scores):
        return Threshold(1.0, 0.0, 0.0)
    best = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-9)))
    below = np.nextafter(np.float32(scores[best]), np.float32(-np.inf))
    return Threshold(float(below), float(precision[best]), float(recall[best]))


def all_kept(found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float = 0.5) -> Threshold:
    """The scores of all detections together, ignoring labels; `score` is the lowest among them."""
    scores, precision, recall = precision_recall(*_of_class(0, found, truth, overlap))
    if not len(scores):
        return Threshold(1.0, 0.0, 0.0)
    return Threshold(float(scores[-1]), float(precision[-1]), float(recall[-1]))
