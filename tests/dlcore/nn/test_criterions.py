# ruff: noqa: F403, F405
"""Every criterion through the one harness, by table; the codes' and SSD's losses against slow formulas."""

import numpy as np
import pytest
from scipy import special

from dlcore.nn import criterion
from dlcore.nn.criterion import *
from dlcore.nn.criterion.detection import match
from dlcore.testing import check_criterion

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


scores, labels = normal(4, 5), np.array([1, 5, 2, -1], np.float32)
shares, signs = special.softmax(normal(4, 5), axis=1).astype(np.float32), np.sign(normal(4, 5))
one_hot = np.eye(5, dtype=np.float32)[[0, 4, 1, 1]]
weights = np.array([1, 2, 3, 4, 5], np.float32)
angles, items = np.array([-10, -5, 0, 5], np.float32), np.array([1, 2, 1, 2, 3, 1], np.float32)


def slow_nll(output, target):
    kept = [(row, int(label) - 1) for row, label in zip(output, target, strict=True) if label > 0]
    return -sum(row[label] * weights[label] for row, label in kept) / sum(weights[label] for _, label in kept)


def slow_xent(output, target):
    kept = [special.log_softmax(row)[int(label) - 1] for row, label in zip(output, target, strict=True) if label > 0]
    return -float(np.mean(kept))


def slow_contrast(output, target):
    """Pair by pair, with the softmax over all others."""
    unit = output / np.linalg.norm(output, axis=1, keepdims=True)
    terms = []
    for i in range(len(unit)):
        others = [k for k in range(len(unit)) if k != i]
        logs = special.log_softmax([unit[i] @ unit[k] / 0.1 for k in others])
        terms += [-logs[place] for place, k in enumerate(others) if target[k] == target[i]]
    return float(np.mean(terms))


def slow_rotation(output, target):
    gaps = ((output[1] - output[0]) ** 2).sum(1)
    return float((np.exp(-(target**2) / 50) * gaps).sum() / 8)


def slow_decorrelation(output, _):
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    return float(np.mean([(output[:, i] @ output[:, j] / 4) ** 2 for i, j in pairs]))


CASES = {
    "ClassNLLCriterion": (ClassNLLCriterion(weights), scores, labels, slow_nll),
    "ClassNLLCriterion-probabilities": (ClassNLLCriterion(logProbAsInput=False), shares, labels, None),
    "CrossEntropyCriterion": (CrossEntropyCriterion(), scores, labels, slow_xent),
    "SoftmaxWithCriterion": (SoftmaxWithCriterion(2), normal(2, 5, 2, 2), RNG.integers(1, 6, (2, 1, 2, 2)), None),
    "CategoricalCrossEntropy": (CategoricalCrossEntropy(), shares, one_hot, None),
    "BCECriterion": (BCECriterion(weights), shares, one_hot, None),
    "MultiLabelSoftMarginCriterion": (MultiLabelSoftMarginCriterion(weights), scores, one_hot, None),
    "MultiMarginCriterion": (MultiMarginCriterion(), scores, np.array([1, 5, 2, 3]), None),
    "MultiMarginCriterion-squared": (MultiMarginCriterion(2, weights), scores, np.array([1, 5, 2, 3]), None),
    "MultiLabelMarginCriterion": (MultiLabelMarginCriterion(), scores, np.array([[1, 3, 0, 0, 0]] * 4), None),
    "ClassSimplexCriterion": (ClassSimplexCriterion(5), scores, np.array([1, 5, 2, 3]), None),
    "MSECriterion": (MSECriterion(), scores, one_hot, lambda y, t: float(((y - t) ** 2).mean())),
    "AbsCriterion": (AbsCriterion(), scores, one_hot, lambda y, t: float(abs(y - t).mean())),
    "SmoothL1Criterion": (SmoothL1Criterion(), 2 * scores, one_hot, None),
    "L1Cost": (L1Cost(), scores, one_hot, lambda y, _: float(abs(y).sum())),
    "DistKLDivCriterion": (DistKLDivCriterion(), np.log(shares), shares[::-1], None),
    "KullbackLeiblerDivergenceCriterion": (KullbackLeiblerDivergenceCriterion(), shares, shares[::-1], None),
    "PoissonCriterion": (PoissonCriterion(), shares + 1, shares, None),
    "MarginCriterion": (MarginCriterion(squared=True), scores, signs, None),
    "SoftMarginCriterion": (SoftMarginCriterion(), scores, signs, None),
    "HingeEmbeddingCriterion": (HingeEmbeddingCriterion(), scores, signs, None),
    "DiceCoefficientCriterion": (DiceCoefficientCriterion(), shares, one_hot, None),
    "DotProductCriterion": (DotProductCriterion(), scores, signs, None),
    "PGCriterion": (PGCriterion(), shares, signs, None),
    "KLDCriterion": (KLDCriterion(), [scores, normal(4, 5)], one_hot, None),
    "GaussianCriterion": (GaussianCriterion(), [scores, normal(4, 5)], one_hot, None),
    "MultiCriterion": (
        MultiCriterion().add(MSECriterion(), 0.5).add(L1Cost(), 2.0),
        scores,
        one_hot,
        lambda y, t: float(((y - t) ** 2).mean() / 2 + 2 * abs(y).sum()),
    ),
    "ParallelCriterion": (
        ParallelCriterion().add(MSECriterion(), 0.5).add(CrossEntropyCriterion()),
        [scores, normal(4, 5)],
        [one_hot, labels],
        None,
    ),
    "TimeDistributedCriterion": (
        TimeDistributedCriterion(MSECriterion(), True),
        normal(2, 3, 4),
        normal(2, 3, 4),
        None,
    ),
    "QuantisationCriterion": (
        QuantisationCriterion(),
        scores,
        0,
        lambda y, _: float(((y - 0.5 * np.sign(y)) ** 2).sum() / 8),
    ),
    "RotationInvarianceCriterion": (RotationInvarianceCriterion(), [scores, normal(4, 5)], angles, slow_rotation),
    "DecorrelationCriterion": (DecorrelationCriterion(), scores, 0, slow_decorrelation),
    "NTXentCriterion": (NTXentCriterion(0.1), normal(6, 4), items, slow_contrast),
}
STRAIGHT_THROUGH = {"EvenDistributionCriterion", "DeepBitCriterion"}
"""Their gradient is that of a soft sign, tested below."""


@pytest.mark.parametrize("name", CASES)
def test_criterion(name):
    built, output, target, formula = CASES[name]
    check_criterion(built, output, target, formula)


def test_nothing_escapes_its_harness():
    checked = {name.split("-")[0] for name in CASES}
    assert set(criterion.__all__) - {"Criterion", "MultiBoxLoss"} - STRAIGHT_THROUGH == checked


def test_even_distribution_moves_each_bit_towards_half():
    codes = np.array([[0.3, -0.2], [0.1, 0.4], [0.2, -0.1], [0.4, -0.3]], np.float32)
    even = EvenDistributionCriterion()
    assert even.forward(codes, 0) == pytest.approx(0.5**2 + 0.25**2)
    grad = even.backward(codes, 0)
    assert (grad[:, 0] > 0).all()
    assert (grad[:, 1] < 0).all()
    np.testing.assert_allclose(grad[0], [2 * 0.5 / 4, 2 * -0.25 / 4])


def test_deepbit_is_the_weighted_sum_of_its_parts():
    output = [normal(4, 5), normal(4, 5)]
    parts = [QuantisationCriterion(), EvenDistributionCriterion()]
    expected = [2 * parts[0].backward(output[0], 0) + 3 * parts[1].backward(output[0], 0), 0]
    for index, grad in enumerate(RotationInvarianceCriterion().backward(output, angles)):
        expected[index] = expected[index] + 0.5 * grad
    whole = DeepBitCriterion(2.0, 3.0, 0.5)
    for got, wanted in zip(whole.backward(output, angles), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_released_deepbit_learns_from_the_rotation_alone():
    output = [normal(4, 5), normal(4, 5)]
    first, second = DeepBitCriterion(released=True).backward(output, angles)
    np.testing.assert_allclose(second, 0.001 * (output[1] - output[0]) / 4, atol=1e-7)
    np.testing.assert_array_equal(first, -second)


def test_a_contrast_needs_two_views():
    with pytest.raises(ValueError, match="expected two views"):
        NTXentCriterion().forward(normal(3, 4), [1, 2, 3])


def test_labels_are_one_based():
    with pytest.raises(ValueError, match="labels are 1-based"):
        CrossEntropyCriterion().forward(scores, [0, 1, 2, 3])


# --- SSD ----------------------------------------------------------------------------------------------------------------

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
        ([[3, 0.1, 0.1, 0.2, 0.2]], "expected 1 to 2"),
        ([[1, 0.2, 0.1, 0.2, 0.2]], "box without area"),
        ([[1, 0.2, 0.1, 0.2]], r"expected \(M, 5\)"),
    ],
)
def test_wrong_boxes_are_refused(truth, message):
    output = [normal(1, len(PRIORS), 4), normal(1, len(PRIORS), 3)]
    with pytest.raises(ValueError, match=message):
        MultiBoxLoss(PRIORS).forward(output, [np.array(truth, np.float32)])
