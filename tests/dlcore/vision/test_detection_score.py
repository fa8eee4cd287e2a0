"""Average precision against a slow loop that follows the definition word by word."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.vision.detection_output import Detections
from dlcore.vision.detection_score import TrueObjects, average_precision, best_threshold, mean_average_precision


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0.0) * max(high, 0.0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def _slow_average_precision(label: int, found: list[Detections], truth: list[TrueObjects], eleven_point: bool) -> float:
    rows = sorted(
        (
            (float(d.scores[i]), image, d.boxes[i])
            for image, d in enumerate(found)
            for i in range(len(d.labels))
            if d.labels[i] == label
        ),
        key=lambda row: -row[0],
    )
    objects = sum(int((t.labels == label).sum()) for t in truth)
    used: set[tuple[int, int]] = set()
    points, right = [], 0
    for seen, (_, image, box) in enumerate(rows, start=1):
        of_class = [g for g in range(len(truth[image].labels)) if truth[image].labels[g] == label]
        best = max(of_class, key=lambda g: _overlap(box, truth[image].boxes[g]), default=None)
        if best is not None and _overlap(box, truth[image].boxes[best]) >= 0.5 and (image, best) not in used:
            used.add((image, best))
            right += 1
        points.append((right / objects, right / seen))
    if eleven_point:
        return sum(max((p for r, p in points if r >= level / 10 - 1e-12), default=0.0) for level in range(11)) / 11
    area, last = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - last) * max(p for _, p in points[i:])
        last = recall
    return area


def _random_case(seed: int) -> tuple[list[Detections], list[TrueObjects]]:
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(12):
        count = int(rng.integers(0, 5))
        corner = rng.uniform(0, 0.6, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.4, (count, 2))], axis=1).astype(np.float32)
        labels = rng.integers(1, 4, count)
        truth.append(TrueObjects(labels, boxes))
        near = np.repeat(boxes, 2, axis=0) + rng.normal(0, 0.04, (2 * count, 4)).astype(np.float32)
        guessed = np.where(rng.random(2 * count) < 0.8, np.repeat(labels, 2), rng.integers(1, 4, 2 * count))
        found.append(Detections(guessed, rng.random(2 * count).astype(np.float32), near.astype(np.float32)))
    return found, truth


@pytest.mark.parametrize("eleven_point", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_score_is_that_of_the_slow_loop(seed: int, eleven_point: bool) -> None:
    found, truth = _random_case(seed)
    score = mean_average_precision(found, truth, eleven_point=eleven_point)
    for label, value in score.per_class.items():
        assert value == pytest.approx(_slow_average_precision(label, found, truth, eleven_point), abs=1e-6)
    assert score.map == pytest.approx(np.mean(list(score.per_class.values())))


def test_worked_example() -> None:
    """Right, wrong, right of three objects: the envelope is 1 up to a third and 2/3 up to two thirds."""
    precision, recall = np.array([1, 1 / 2, 2 / 3]), np.array([1 / 3, 1 / 3, 2 / 3])
    assert average_precision(precision, recall) == pytest.approx(1 / 3 + 2 / 9)
    assert average_precision(precision, recall, eleven_point=True) == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_objects_marked_difficult_count_neither_way() -> None:
    box = np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], np.float32)
    truth = [TrueObjects(np.array([1, 1]), box, np.array([False, True]))]
    found = [Detections(np.array([1, 1]), np.array([0.9, 0.95], np.float32), box)]
    assert mean_average_precision(found, truth).map == pytest.approx(1.0)


def test_a_class_of_difficult_objects_alone_is_left_out() -> None:
    boxes = np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], np.float32)
    truth = [TrueObjects(np.array([1, 2]), boxes, np.array([False, True]))]
    found = [Detections(np.array([1, 2]), np.array([0.9, 0.95], np.float32), boxes)]
    assert mean_average_precision(found, truth).per_class == {1: 1.0}
    with pytest.raises(ValueError, match="without an object that is not difficult"):
        mean_average_precision(found, [TrueObjects(np.array([1, 2]), boxes, np.array([True, True]))])


def _with_ties(seed: int) -> tuple[list[Detections], list[TrueObjects]]:
    found, truth = _random_case(seed)
    return [Detections(d.labels, np.round(d.scores * 4).astype(np.float32) / 4, d.boxes) for d in found], truth


@pytest.mark.parametrize("seed", range(4))
def test_equal_scores_count_together_in_any_order(seed: int) -> None:
    found, truth = _with_ties(seed)
    expected = mean_average_precision(found, truth).per_class, best_threshold(found, truth)
    rng = np.random.default_rng(seed)
    images = rng.permutation(len(found))
    mixed = [rng.permutation(len(found[image].labels)) for image in images]
    shuffled = [
        Detections(d.labels[order], d.scores[order], d.boxes[order])
        for d, order in zip((found[image] for image in images), mixed, strict=True)
    ]
    turned = [truth[image] for image in images]
    assert (mean_average_precision(shuffled, turned).per_class, best_threshold(shuffled, turned)) == expected


@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_is_worth_what_it_says(seed: int) -> None:
    """Against a count of what is kept above each score that occurs."""
    found, truth = _with_ties(seed)
    best = best_threshold(found, truth)

    def worth(threshold: float) -> tuple[float, float, float]:
        above = [d.scores > threshold for d in found]
        kept = [Detections(np.ones(a.sum(), int), d.scores[a], d.boxes[a]) for d, a in zip(found, above, strict=True)]
        total = sum(len(d.labels) for d in kept)
        right = 0
        for d, t in zip(kept, truth, strict=True):
            best_of = [max(range(len(t.labels)), key=lambda g: _overlap(box, t.boxes[g])) for box in d.boxes]
            right += len({g for box, g in zip(d.boxes, best_of, strict=True) if _overlap(box, t.boxes[g]) >= 0.5})
        precision, recall = right / max(total, 1), right / sum(len(t.labels) for t in truth)
        return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall

    assert worth(best.score) == pytest.approx((best.f1, best.precision, best.recall))
    tried = [worth(level / 4 - 0.01) for level in range(5)]
    assert best.f1 == pytest.approx(max(f1 for f1, _, _ in tried))


def test_best_threshold_ignores_labels() -> None:
    box = np.array([[0.1, 0.1, 0.5, 0.5]], np.float32)
    truth = [TrueObjects(np.array([1]), box), TrueObjects(np.array([2]), box)]
    far = np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], np.float32)
    found = [Detections(np.array([2, 1]), np.array([0.8, 0.3], np.float32), far) for _ in range(2)]
    best = best_threshold(found, truth)
    assert best.score == pytest.approx(0.8)
    assert (best.precision, best.recall, best.f1) == (1.0, 1.0, 1.0)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected as many"):
        mean_average_precision([], [TrueObjects(np.array([1]), np.zeros((1, 4), np.float32))])
