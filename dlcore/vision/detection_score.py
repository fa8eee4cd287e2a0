"""How good a detector is: average precision as PASCAL VOC defines it, and the best threshold for finding any object.

Source: Everingham et al. 2010 and the development kit: a detection is right when it overlaps a true box of its class,
not yet found by a better one, by more than half; objects marked difficult count neither way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.models.detection_output import Detections

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TrueObjects:
    """What is in one image: labels (G,) int (index of the class, the background is 0), boxes (G, 4) in the units of the
    detections, is_difficult (G,) or None."""

    labels: Ints
    boxes: Array
    is_difficult: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class DetectionScore:
    """map: mean of `per_class` (the average precision of each class that occurs, by its index)."""

    map: float
    per_class: dict[int, float]


def _judged(found: Array, truth: Array, difficult: NDArray[np.bool_], overlap: float) -> Ints:
    """Per detection of one image and class, best first: 1 right, 0 wrong, -1 ignored."""
    verdicts = np.zeros(len(found), np.int64)
    if not len(truth):
        return verdicts
    taken = np.zeros(len(truth), bool)
    overlaps = iou(found, truth)
    for i, best in enumerate(overlaps.argmax(axis=1)):
        if overlaps[i, best] < overlap:
            continue
        if difficult[best]:
            verdicts[i] = -1
        elif not taken[best]:
            taken[best], verdicts[i] = True, 1
    return verdicts


def _of_class(
    label: int, found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float
) -> tuple[Array, Ints, int]:
    """Scores and verdicts of all detections of a class (0: of any class, labels ignored), and the number of true objects."""
    scores, verdicts, objects = [], [], 0
    for detections, true in zip(found, truth, strict=True):
        ours = detections.labels == label if label else np.ones(len(detections.labels), bool)
        theirs = true.labels == label if label else np.ones(len(true.labels), bool)
        difficult = (true.is_difficult if true.is_difficult is not None else np.zeros(len(true.labels), bool))[theirs]
        order = np.argsort(-detections.scores[ours], kind="stable")
        scores.append(detections.scores[ours][order])
        verdicts.append(_judged(detections.boxes[ours][order], true.boxes[theirs], difficult, overlap))
        objects += int((~difficult).sum())
    return np.concatenate(scores), np.concatenate(verdicts), objects


def precision_recall(
    scores: Array, verdicts: Ints, objects: int
) -> tuple[Array, NDArray[np.float64], NDArray[np.float64]]:
    """Scores in falling order with the precision and recall of keeping all down to each of them."""
    kept = verdicts >= 0
    order = np.argsort(-scores[kept], kind="stable")
    right = np.cumsum(verdicts[kept][order])
    precision = right / np.maximum(np.arange(1, len(right) + 1), 1)
    return scores[kept][order], precision, right / max(objects, 1)


def average_precision(precision: NDArray[np.float64], recall: NDArray[np.float64], eleven_point: bool = False) -> float:
    """Area under the precision envelope (VOC 2010 on), or the mean envelope at recalls 0, 0.1 ... 1 (VOC 2007)."""
    if eleven_point:
        reached = [precision[recall >= level - 1e-12] for level in np.linspace(0, 1, 11)]
        return float(np.mean([part.max() if len(part) else 0.0 for part in reached]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def mean_average_precision(
    found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float = 0.5, eleven_point: bool = False
) -> DetectionScore:
    """The score of detections against the truth, image by image.

    Raises:
        ValueError: the lists differ in length, or there is no object in the truth.
    """
    labels = sorted({int(label) for true in truth for label in true.labels})
    if len(found) != len(truth) or not labels:
        raise ValueError(
            f"got {len(found)} images with detections, {len(truth)} with truth, {len(labels)} classes in it; expected as many and some"
        )
    per_class = {}
    for label in labels:
        _, precision, recall = precision_recall(*_of_class(label, found, truth, overlap))
        per_class[label] = average_precision(precision, recall, eleven_point)
    return DetectionScore(float(np.mean(list(per_class.values()))), per_class)


@dataclass(frozen=True)
class Threshold:
    """A score to cut at, and what the detections above it are worth whatever their labels."""

    score: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


def best_threshold(found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float = 0.5) -> Threshold:
    """The score at which finding objects of any class has the best F1."""
    scores, precision, recall = precision_recall(*_of_class(0, found, truth, overlap))
    if not len(scores):
        return Threshold(1.0, 0.0, 0.0)
    best = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-9)))
    return Threshold(float(scores[best]), float(precision[best]), float(recall[best]))


def all_kept(found: Sequence[Detections], truth: Sequence[TrueObjects], overlap: float = 0.5) -> Threshold:
    """What all detections together are worth, whatever their labels; `score` is the lowest among them."""
    scores, precision, recall = precision_recall(*_of_class(0, found, truth, overlap))
    if not len(scores):
        return Threshold(1.0, 0.0, 0.0)
    return Threshold(float(scores[-1]), float(precision[-1]), float(recall[-1]))
