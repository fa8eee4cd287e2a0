# ruff: noqa: F403, F405
"""Each criterion with an output, a target, and its formula as a slow loop."""

from __future__ import annotations

import numpy as np
from scipy import special

from dlcore.keras.objectives import CategoricalCrossEntropyOfRows, SparseCategoricalCrossEntropy, Weighted
from dlcore.nn.criterion import *
from dlcore.nn.layer import Power

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


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def slow_embedding(output, target):
    cosines = [cosine(a, b) for a, b in zip(*output, strict=True)]
    return float(np.mean([1 - c if s > 0 else max(0, c - 0.1) for c, s in zip(cosines, target, strict=True)]))


def slow_masked(output, target):
    kept = [-output[i, j, int(target[i, j]) - 1] for i, j in np.ndindex(*target.shape) if target[i, j] != 0]
    return float(np.mean(kept))


def slow_weighted(sigma, count):
    def formula(output, target):
        losses = []
        for y, t, inside, outside in zip(output.flat, *(part.flat for part in target), strict=True):
            gap = abs(inside * (y - t))
            is_small = gap < 1 / sigma**2
            losses.append(outside * (sigma**2 * gap**2 / 2 if is_small else gap - 1 / (2 * sigma**2)))
        return float(sum(losses) / count)

    return formula


padded = np.array([[1, 5, 0], [2, 0, 0]], np.float32)
weighted = [one_hot, abs(normal(4, 5)), abs(normal(4, 5))]

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
    "TimeDistributedMaskCriterion": (
        TimeDistributedMaskCriterion(ClassNLLCriterion()),
        special.log_softmax(normal(2, 3, 5), axis=2),
        padded,
        slow_masked,
    ),
    "TimeDistributedMaskCriterion-sums": (
        TimeDistributedMaskCriterion(ClassNLLCriterion(size_average=False)),
        special.log_softmax(normal(2, 3, 5), axis=2),
        padded,
        slow_masked,
    ),
    "TransformerCriterion": (
        TransformerCriterion(MSECriterion(), Power(2.0), Power(3.0)),
        scores,
        one_hot,
        lambda y, t: float(((y**2 - t**3) ** 2).mean()),
    ),
    "TransformerCriterion-plain": (
        TransformerCriterion(MSECriterion()),
        scores,
        one_hot,
        lambda y, t: float(((y - t) ** 2).mean()),
    ),
    "CosineDistanceCriterion": (
        CosineDistanceCriterion(),
        scores,
        shares,
        lambda y, t: float(np.mean([1 - cosine(a, b) for a, b in zip(y, t, strict=True)])),
    ),
    "CosineDistanceCriterion-row": (
        CosineDistanceCriterion(False),
        scores[0],
        shares[0],
        lambda y, t: 1 - cosine(y, t),
    ),
    "CosineProximityCriterion": (
        CosineProximityCriterion(),
        normal(2, 3, 4),
        normal(2, 3, 4),
        lambda y, t: -float(np.mean([cosine(y[i, j], t[i, j]) for i, j in np.ndindex(2, 3)])) / 4,
    ),
    "CosineEmbeddingCriterion": (
        CosineEmbeddingCriterion(0.1),
        [scores, shares],
        np.array([1, -1, -1, 1]),
        slow_embedding,
    ),
    "CosineEmbeddingCriterion-row": (
        CosineEmbeddingCriterion(),
        [scores[0], shares[0]],
        [np.array([1.0])],
        lambda y, _: 1 - cosine(*y),
    ),
    "L1HingeEmbeddingCriterion": (
        L1HingeEmbeddingCriterion(),
        [scores, shares],
        [1],
        lambda y, _: float(abs(y[0] - y[1]).sum()),
    ),
    "L1HingeEmbeddingCriterion-apart": (
        L1HingeEmbeddingCriterion(30.0),
        [scores, shares],
        [-1],
        lambda y, _: 30 - float(abs(y[0] - y[1]).sum()),
    ),
    "MarginRankingCriterion": (
        MarginRankingCriterion(0.5),
        [normal(6), normal(6)],
        np.array([1, -1, -1, 1, 1, -1]),
        lambda y, t: float(np.mean([max(0, 0.5 - s * (a - b)) for a, b, s in zip(*y, t, strict=True)])),
    ),
    "MeanAbsolutePercentageCriterion": (
        MeanAbsolutePercentageCriterion(),
        scores,
        shares,
        lambda y, t: float((100 * abs(y - t) / t).mean()),
    ),
    "MeanSquaredLogarithmicCriterion": (
        MeanSquaredLogarithmicCriterion(),
        3 * scores,
        shares,
        lambda y, t: float(((np.log(np.maximum(y, 1e-7) + 1) - np.log(t + 1)) ** 2).mean()),
    ),
    "SmoothL1CriterionWithWeights": (SmoothL1CriterionWithWeights(2.0), scores, weighted, slow_weighted(2.0, 4)),
    "SmoothL1CriterionWithWeights-num": (SmoothL1CriterionWithWeights(0.5, 7), scores, weighted, slow_weighted(0.5, 7)),
    "SmoothL1CriterionWithWeights-plain": (SmoothL1CriterionWithWeights(1.0), scores, [one_hot], None),
    "CTCCriterion": (
        CTCCriterion(2),
        special.log_softmax(normal(3, 6, 4), axis=2),
        [np.array([[1, 3, 3], [4, -1, -1], [1, 1, -1]]), np.array([6, 2, 4])],
        None,
    ),
    "SparseCategoricalCrossEntropy": (
        SparseCategoricalCrossEntropy(),
        special.softmax(normal(2, 3, 5), axis=2),
        RNG.integers(0, 5, (2, 3)),
        lambda y, t: float(-np.log([y[i, j, t[i, j]] for i, j in np.ndindex(2, 3)]).mean()),
    ),
    "CategoricalCrossEntropyOfRows": (
        CategoricalCrossEntropyOfRows(),
        shares.reshape(2, 2, 5),
        one_hot.reshape(2, 2, 5),
        lambda y, t: float(-np.log(y[t == 1]).mean()),
    ),
    "Weighted": (
        Weighted(MSECriterion()),
        scores,
        [one_hot, np.array([1, 0, 2, 1])],
        lambda y, t: float((t[1] @ ((y - t[0]) ** 2).mean(axis=1)) / 3),
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
