"""Validation methods: what a batch counts, and that batches add up to what all records give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dlcore.nn.criterion import MSECriterion
from dlcore.optim.detection_metric import MeanAveragePrecisionObjectDetection
from dlcore.optim.metric import (
    AUC,
    MAE,
    NDCG,
    EvaluatedResult,
    HitRatio,
    Loss,
    MeanAveragePrecision,
    Top1Accuracy,
    Top5Accuracy,
    TreeNNAccuracy,
    ValidationMethod,
)

OUTPUT = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]] + 0.1 * np.arange(7, dtype=np.float32)
RNG = np.random.default_rng(4)
SCORES, LABELS = RNG.standard_normal((40, 3)).astype(np.float32), RNG.integers(1, 4, 40)


@pytest.mark.parametrize(
    ("method", "output", "target", "expected"),
    [
        (Top1Accuracy(), OUTPUT, np.array([1, 2, 3, 7]), 0.75),
        (Top1Accuracy(), np.array([[0.2], [0.6]]), np.array([0, 0]), 0.5),
        (Top5Accuracy(), OUTPUT, np.array([2, 2, 3, 7]), 0.75),
        (MAE(), np.zeros((2, 1)), np.array([1, 2]), 1.5),
        (MAE(), np.zeros((2, 2)), np.array([[1, 1], [2, 2]]), 1.5),
        (Loss(MSECriterion()), np.zeros((2, 2)), np.array([[1, 1], [2, 2]]), 2.5),
    ],
)
def test_a_batch(method, output, target, expected):
    result = method(output, target).result()
    assert (result.result, result.total_num) == (pytest.approx(expected), len(output))
    assert result.method == type(method).__name__


@pytest.mark.parametrize("method", [MAE(), Top1Accuracy(), MeanAveragePrecision(-1, 7), TreeNNAccuracy()])
def test_outputs_of_other_records_than_the_targets_are_refused(method):
    output = OUTPUT[:, None] if isinstance(method, TreeNNAccuracy) else OUTPUT
    with pytest.raises(ValueError, match=f"{method.name()}: got "):
        method(output, np.ones(7))


def slow_average_precision(scores, is_hit, k):
    """VOC's formula as it is written: at each recall the best precision there or further on."""
    ranked = [hit for _, hit in sorted(zip(-scores, is_hit, strict=True), key=lambda pair: pair[0])][
        : k if k > 0 else None
    ]
    points = [
        (sum(ranked[: n + 1]) / sum(is_hit), sum(ranked[: n + 1]) / (n + 1)) for n, hit in enumerate(ranked) if hit
    ]
    recalls = [(count + 1) / sum(is_hit) for count in range(sum(is_hit))]
    return sum(max([p for r, p in points if r >= recall - 1e-9], default=0.0) for recall in recalls) / sum(is_hit)


@pytest.mark.parametrize("k", [-1, 10])
def test_mean_average_precision(k):
    method = MeanAveragePrecision(k, 3)
    expected = np.mean([slow_average_precision(SCORES[:, c], (c + 1 == LABELS).tolist(), k) for c in range(3)])
    parts = [method(SCORES[rows], LABELS[rows]) for rows in (slice(0, 13), slice(13, 25), slice(25, 40))]
    assert (parts[0] + parts[1] + parts[2]).result().result == pytest.approx(expected)
    assert np.mean([part.result().result for part in parts]) != pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="expected 3 classes"):
        method(SCORES[:, :2], LABELS)


@pytest.mark.parametrize("method", [Top1Accuracy(), Loss(), MAE(), MeanAveragePrecision(-1, 3)])
def test_batches_of_unequal_size_add_up(method):
    target = SCORES[::-1] if isinstance(method, MAE) else LABELS
    whole = method(SCORES, target).result()
    parts = [method(SCORES[rows], target[rows]) for rows in (slice(0, 5), slice(5, 5), slice(5, 40))]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert (total.result().result, total.result().total_num) == (pytest.approx(whole.result, rel=1e-6), 40)


def test_the_root_of_a_tree_counts():
    """Three trees of two nodes; the second's root is wrong."""
    output = np.zeros((3, 2, 4), np.float32)
    output[[0, 1, 2], 0, [1, 2, 3]], output[:, 1, 0] = 1, 5
    target = np.array([[2, 4], [1, 1], [4, 4]])
    assert TreeNNAccuracy()(output, target).result() == EvaluatedResult(pytest.approx(2 / 3), 3, "TreeNNAccuracy")
    assert TreeNNAccuracy()(output[0], target[:1]).result().result == 1
    assert TreeNNAccuracy()(np.array([[[0.7], [0.1]]]), np.array([[1, 0]])).result().result == 1


def slow_ranks(output, target, size):
    """The place of the right item in its group, sorted."""
    groups = zip(output.reshape(-1, size), target.reshape(-1, size), strict=True)
    return [
        sorted(zip(-scores, 1 - right, strict=True)).index((-scores[right == 1][0], 0)) + 1 for scores, right in groups
    ]


@pytest.mark.parametrize("k", [1, 4, 20])
def test_the_right_item_among_others(k):
    output, target = np.round(RNG.standard_normal((30, 9)), 1), np.zeros((30, 9))
    target[np.arange(30), RNG.integers(0, 9, 30)] = 1
    ranks = slow_ranks(output, target, 9)
    hits = np.mean([rank <= k for rank in ranks])
    gains = np.mean([1 / np.log2(rank + 1) if rank <= k else 0 for rank in ranks])
    for method, expected in ((HitRatio(k, 8), hits), (NDCG(k, 8), gains)):
        parts = [method(output[rows].reshape(-1), target[rows].reshape(-1)) for rows in (slice(0, 7), slice(7, 30))]
        total = (parts[0] + parts[1]).result()
        assert (total.result, total.total_num) == (pytest.approx(expected), 30)
    assert NDCG(k, 8)(np.full((1, 9), np.nan), target[:1]).result().result == 0
    with pytest.raises(ValueError, match="expected groups of 11"):
        HitRatio(k, 10)(output, target)
    with pytest.raises(ValueError, match="without or with several targets of 1"):
        NDCG(k, 8)(output, np.ones((30, 9)))


def test_area_under_the_curve():
    """Against SciPy's Mann-Whitney statistic, with many equal scores."""
    scores, labels = np.round(RNG.standard_normal(200), 1), RNG.integers(0, 2, 200)
    expected = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic / (
        labels.sum() * (1 - labels).sum()
    )
    parts = [AUC()(scores[rows], labels[rows]) for rows in (slice(0, 30), slice(30, 200))]
    assert (parts[0] + parts[1]).result().result == pytest.approx(expected)
    assert AUC()(np.stack([-scores, scores], axis=1), labels).result().result == pytest.approx(expected)
    assert np.isnan(AUC()(scores, np.ones(200)).result().result)
    assert (AUC()(scores[:0], labels[:0]) + parts[0]).result() == parts[0].result()
    with pytest.raises(ValueError, match="expected one score each, or two"):
        AUC()(np.ones((4, 3)), np.ones(4))


def test_detections():
    """Two images, classes 1 and 2: of class 1 one of two objects is found, after a wrong one; of class 2 the only
    one."""
    first = [[1, 0.9, 0.6, 0.6, 0.9, 0.9], [1, 0.8, 0.1, 0.1, 0.3, 0.3], [1, 0.7, 0.1, 0.1, 0.31, 0.3]]
    second = [[2, 0.6, 0.5, 0.5, 0.7, 0.72]]
    truth = [
        np.array([[1, 0, 0.1, 0.1, 0.3, 0.31], [1, 0, 0.0, 0.8, 0.1, 0.9]]),
        np.array([[2, 0, 0.5, 0.5, 0.7, 0.7], [1, 1, 0.0, 0.0, 0.1, 0.1]]),
    ]
    rows = np.array([[3, *np.ravel(first)], [1, *np.ravel(second), *[0] * 12]], np.float32)
    for output in (rows, [np.array(first), np.array(second)]):
        method = MeanAveragePrecisionObjectDetection(3, skip_class=0)
        tally = method(output, truth)
        assert tally.per_class() == {1: pytest.approx(0.5 / 2), 2: 1.0}
        assert tally.result() == EvaluatedResult(pytest.approx((0.25 + 1) / 2), 2, method.name())
        halves = [method([part], [wanted]) for part, wanted in zip(_parts(output), truth, strict=True)]
        assert (halves[0] + halves[1]).result() == tally.result()
    padded = np.full((2, 3, 6), -1.0)
    padded[0, :2], padded[1, :2] = truth
    assert MeanAveragePrecisionObjectDetection(3, skip_class=0)(rows, padded).result() == tally.result()
    eleven = MeanAveragePrecisionObjectDetection(3, use_voc2007=True)(rows, truth).per_class()
    assert eleven == {0: 0.0, 1: pytest.approx(6 * 0.5 / 11), 2: 1.0}
    strict = MeanAveragePrecisionObjectDetection(3, iou=0.99)(rows, truth).per_class()
    assert strict == {0: 0.0, 1: 0.0, 2: 0.0}
    with pytest.raises(ValueError, match="got label 2, expected 0 to 1"):
        MeanAveragePrecisionObjectDetection(2)(rows, [*truth[:1], np.array([[0, 0, 0, 1, 1]])])
    with pytest.raises(ValueError, match=r"got detections \(6, 2\) of an image, expected \(D, 6\)"):
        MeanAveragePrecisionObjectDetection(3)([np.ones((6, 2))], truth[:1])
    with pytest.raises(ValueError, match="expected one to score"):
        MeanAveragePrecisionObjectDetection(1, skip_class=0)
    with pytest.raises(ValueError, match="expected one target"):
        MeanAveragePrecisionObjectDetection(3)(rows, truth[:1])


def _parts(output):
    return output if isinstance(output, list) else [row[1 : 1 + 6 * int(row[0])].reshape(-1, 6) for row in output]


def test_every_method_is_in_the_table():
    """Those of dlcore.keras have tests of their own."""
    tested = {
        "Top1Accuracy",
        "Top5Accuracy",
        "MAE",
        "Loss",
        "MeanAveragePrecision",
        "TreeNNAccuracy",
        "HitRatio",
        "NDCG",
    }
    tested |= {"AUC", "MeanAveragePrecisionObjectDetection"}
    kinds, ours = [ValidationMethod], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        ours |= {kind.__name__} if kind.__module__.startswith("dlcore.optim.") and not kind.__subclasses__() else set()
    assert ours == tested
