"""SSD's loss against the paper's, prior by prior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from dlcore.nn.criterion import MultiBoxLoss
from dlcore.nn.criterion.detection import match
from dlcore.testing import check_criterion

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


GRID = [(x, y) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8)]
PRIORS = np.array([[x - s, y - s, x + s, y + s] for x, y in GRID for s in (0.1, 0.2)], np.float32)
TRUTH = [
    np.array([[1, 0.1, 0.1, 0.32, 0.3], [2, 0.41, 0.38, 0.95, 0.62]], np.float32),
    np.zeros((0, 5), np.float32),
    np.array([[2, 0.35, 0.3, 0.72, 0.7]], np.float32),
]


def iou(a, b):
    shared = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


def slow_match(boxes):
    """Prior -> box: the best free pair first, then every prior whose best box overlaps by half."""
    overlap = np.array([[iou(prior, box) for box in boxes] for prior in PRIORS])
    found, free_priors, free_boxes = {}, set(range(len(PRIORS))), set(range(len(boxes)))
    while free_boxes:
        prior, box = max(
            ((p, b) for p in sorted(free_priors) for b in sorted(free_boxes)), key=lambda pair: overlap[pair]
        )
        found[prior] = box
        free_priors.discard(prior)
        free_boxes.discard(box)
    for prior in free_priors:
        if overlap[prior].max() >= 0.5:
            found[prior] = int(overlap[prior].argmax())
    return found, overlap.max(axis=1)


def slow_multi_box(output, target):
    """The paper's loss image by image, prior by prior."""
    location = confidence = matches = 0.0
    for locations, logits, truth in zip(*output, target, strict=True):
        if len(truth) == 0:
            continue
        found, best = slow_match(truth[:, 1:])
        losses = -special.log_softmax(logits, axis=1)
        matches += len(found)
        for prior, box in found.items():
            (x0, y0, x1, y1), (a0, b0, a1, b1) = truth[box, 1:], PRIORS[prior]
            width, height = a1 - a0, b1 - b0
            offsets = np.array(
                [
                    ((x0 + x1) / 2 - (a0 + a1) / 2) / width / 0.1,
                    ((y0 + y1) / 2 - (b0 + b1) / 2) / height / 0.1,
                    np.log((x1 - x0) / width) / 0.2,
                    np.log((y1 - y0) / height) / 0.2,
                ]
            )
            gaps = abs(locations[prior] - offsets)
            location += np.where(gaps < 1, gaps**2 / 2, gaps - 0.5).sum()
            confidence += losses[prior, int(truth[box, 0])]
        negatives = sorted((losses[p, 0] for p in range(len(PRIORS)) if p not in found and best[p] < 0.5), reverse=True)
        confidence += sum(negatives[: 3 * len(found)])
    return float((location + confidence) / matches)


@pytest.mark.parametrize("is_flat", [False, True])
def test_multi_box_loss(is_flat):
    output = [normal(3, len(PRIORS), 4), normal(3, len(PRIORS), 3)]
    built, shapes = MultiBoxLoss(PRIORS), [part.shape for part in output]
    given = [part.reshape(3, -1) for part in output] if is_flat else output

    def slow(flat, target):
        return slow_multi_box([part.reshape(shape) for part, shape in zip(flat, shapes, strict=True)], target)

    check_criterion(built, given, TRUTH, slow)
    loss = built.forward(given, TRUTH)
    assert sum(built.parts) == pytest.approx(loss)


def test_matching_is_the_papers():
    for truth in (TRUTH[0], TRUTH[2]):
        found, best = slow_match(truth[:, 1:])
        assigned, overlap = match(PRIORS, truth[:, 1:], 0.5)
        assert {int(prior): int(assigned[prior]) for prior in np.flatnonzero(assigned >= 0)} == found
        np.testing.assert_allclose(overlap, best, atol=1e-6)


def test_a_batch_without_boxes_costs_nothing():
    output = [normal(1, len(PRIORS), 4), normal(1, len(PRIORS), 3)]
    built = MultiBoxLoss(PRIORS)
    assert built.forward(output, [np.zeros((0, 5))]) == 0.0
    assert not any(part.any() for part in built.backward(output, [np.zeros((0, 5))]))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([[3, 0.1, 0.1, 0.2, 0.2]], "expected labels 1 to 2"),
        ([[1.5, 0.1, 0.1, 0.2, 0.2]], "expected labels 1 to 2"),
        ([[1, 0.2, 0.1, 0.2, 0.2]], "box without area"),
        ([[1, 0.1, 0.1, np.nan, 0.2]], "for image 0 of 1, expected finite"),
        ([[np.nan, 0.1, 0.1, 0.2, 0.2]], "expected finite"),
        ([[1, 0.1, -np.inf, 0.2, 0.2]], "expected finite"),
        ([[1, 0.1, 0.1, 0.2, 0.2], [2, 10, 20, 110, 220]], "expected fractions of the image"),
        ([[1, 0.2, 0.1, 0.2]], r"expected \(M, 5\)"),
    ],
)
def test_wrong_boxes_are_refused(truth, message):
    output = [normal(1, len(PRIORS), 4), normal(1, len(PRIORS), 3)]
    with pytest.raises(ValueError, match=message):
        MultiBoxLoss(PRIORS).forward(output, [np.array(truth, np.float32)])
