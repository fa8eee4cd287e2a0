"""Average precision of detections, as PASCAL VOC defines it (Everingham et al. 2010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.optim.metric import EvaluatedResult, Tally, ValidationMethod

Ints = NDArray[np.int64]


def judged(found: Array, truth: Array, difficult: NDArray[np.bool_], overlap: float) -> Ints:
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


def precision_recall(
    scores: Array, verdicts: Ints, objects: int
) -> tuple[Array, NDArray[np.float64], NDArray[np.float64]]:
    """The distinct scores in falling order, with the precision and recall of keeping all that score at least as much.

    Equal scores count together: no threshold can tell them apart, and so their order does not matter.
    """
    kept = verdicts >= 0
    order = np.argsort(-scores[kept], kind="stable")
    falling, right = scores[kept][order], np.cumsum(verdicts[kept][order])
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(falling) else np.empty(0, np.int64)
    return falling[last], right[last] / (last + 1), right[last] / max(objects, 1)


def average_precision(precision: NDArray[np.float64], recall: NDArray[np.float64], eleven_point: bool = False) -> float:
    """Area under the precision envelope (VOC 2010 on), or the mean envelope at recalls 0, 0.1 ... 1 (VOC 2007)."""
    if eleven_point:
        reached = [precision[recall >= level - 1e-12] for level in np.linspace(0, 1, 11)]
        return float(np.mean([part.max() if len(part) else 0.0 for part in reached]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


@dataclass(frozen=True)
class DetectionTally(Tally):
    """For each class, the scores and verdicts of its detections and the number of true objects; and the number of
    images."""

    scores: list[Array]
    verdicts: list[Ints]
    objects: Ints
    images: int
    rule: MeanAveragePrecisionObjectDetection

    def __add__(self, other: DetectionTally) -> DetectionTally:
        scores = [np.concatenate(pair) for pair in zip(self.scores, other.scores, strict=True)]
        verdicts = [np.concatenate(pair) for pair in zip(self.verdicts, other.verdicts, strict=True)]
        return DetectionTally(scores, verdicts, self.objects + other.objects, self.images + other.images, self.rule)

    def per_class(self) -> dict[int, float]:
        """The average precision of each class that counts; 0 without objects."""
        found = {}
        for label, parts in enumerate(zip(self.scores, self.verdicts, self.objects.tolist(), strict=True)):
            if label != self.rule.skip_class:
                _, precision, recall = precision_recall(*parts)
                found[label] = average_precision(precision, recall, self.rule.use_voc2007)
        return found

    def result(self) -> EvaluatedResult:
        return EvaluatedResult(float(np.mean(list(self.per_class().values()))), self.images, self.rule.name())


@dataclass
class MeanAveragePrecisionObjectDetection(ValidationMethod):
    """The mean over classes of the average precision of detections: right is one that overlaps an object of its class,
    not yet found by a better one, by `iou` or more.

    output: (N, 1 + 6 D) as DetectionOutputSSD gives it, or a table of one array (D, 6) per image: label, score, box.
    target: a table of one array per image, (G, 5): label, box, or (G, 6): label, 1 for a difficult object, box; or one
    array (N, G, 5) or (N, G, 6), in which the label -1 says that there is no object. Labels are 0 to classes - 1;
    skip_class, such as the background, is left out; a class without objects counts 0, as in BigDL.
    use_voc2007: the mean of the best precisions at recalls 0, 0.1 ... 1 in place of the area.

    Raises:
        ValueError: no class to score, other forms, or a label that is none.
    """

    classes: int
    iou: float = 0.5
    use_voc2007: bool = False
    skip_class: int = -1

    def __post_init__(self) -> None:
        if not set(range(self.classes)) - {self.skip_class}:
            raise ValueError(
                f"{self.name()}: got classes {self.classes} without {self.skip_class}, expected one to score"
            )

    def __call__(self, output: Any, target: Any) -> DetectionTally:
        found, truth = _tables(output), [np.asarray(part) for part in target]
        truth = [part if part.size else np.zeros((0, 5), np.float32) for part in truth]
        self._check(found, truth)
        truth = [part[part[:, 0] != -1] for part in truth]
        parts = [self._of_class(label, found, truth) for label in range(self.classes)]
        scores, verdicts, objects = zip(*parts, strict=True)
        return DetectionTally(list(scores), list(verdicts), np.array(objects), len(found), self)

    def _check(self, found: list[Array], truth: list[Array]) -> None:
        if len(found) != len(truth) or any(part.ndim != 2 or part.shape[1] not in (5, 6) for part in truth):
            raise ValueError(
                f"{self.name()}: got detections of {len(found)} images and targets {[part.shape for part in truth]}, "
                f"expected one "
                "target (G, 5) or (G, 6) for each image"
            )
        labels = np.concatenate([np.zeros(0), *(part[:, 0] for part in (*found, *truth))])
        wrong = labels[(labels != -1) & ((labels < 0) | (labels >= self.classes))]
        if len(wrong):
            raise ValueError(f"{self.name()}: got label {wrong[0]:g}, expected 0 to {self.classes - 1}")

    def _of_class(self, label: int, found: list[Array], truth: list[Array]) -> tuple[Array, Ints, int]:
        scores, verdicts, objects = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], 0
        for rows, wanted in zip(found, truth, strict=True):
            ours, theirs = rows[rows[:, 0] == label], wanted[wanted[:, 0] == label]
            ours = ours[np.argsort(-ours[:, 1], kind="stable")]
            is_difficult = theirs[:, 1] == 1 if wanted.shape[1] == 6 else np.zeros(len(theirs), bool)
            scores.append(ours[:, 1])
            verdicts.append(judged(ours[:, 2:], theirs[:, -4:], is_difficult, self.iou))
            objects += int((~is_difficult).sum())
        return np.concatenate(scores), np.concatenate(verdicts), objects


def _tables(output: Any) -> list[Array]:
    """(D, 6) of each image."""
    if isinstance(output, list):
        tables = [np.asarray(part) for part in output]
        wrong = [part.shape for part in tables if part.size and (part.ndim != 2 or part.shape[1] != 6)]
        if wrong:
            raise ValueError(f"got detections {wrong[0]} of an image, expected (D, 6): label, score, box")
        return [part.reshape(-1, 6) for part in tables]
    return [row[1 : 1 + 6 * int(row[0])].reshape(-1, 6) for row in output]
