"""Criterions on numbers and distributions: output and target of one shape unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dlcore.activity import Array, describe
from dlcore.nn.criterion.criterion import Criterion, Gradient, matched
from dlcore.nn.layers.activation import sigmoid

_TINY = np.float32(1e-7)


def _share(output: Array, size_average: bool) -> np.floating[Any]:
    return output.dtype.type(1.0 / output.size if size_average and output.size else 1.0)


@dataclass(eq=False)
class MSECriterion(Criterion):
    """Mean of (output - target)^2; the sum with sizeAverage=False.

    output: any shape; target: same shape.
    Source: BigDL's MSECriterion.
    """

    sizeAverage: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        gap, share = output - target, _share(output, self.sizeAverage)
        return float(np.vdot(gap, gap) * share), lambda: 2 * share * gap


@dataclass(eq=False)
class AbsCriterion(Criterion):
    """Mean of |output - target|. output: any shape; target: same shape. Source: BigDL's AbsCriterion."""

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        gap, share = output - target, _share(output, self.size_average)
        return float(np.abs(gap).sum() * share), lambda: np.sign(gap) * share


@dataclass(eq=False)
class SmoothL1Criterion(Criterion):
    """Mean of d^2 / 2 where |d| < 1, else |d| - 1/2, with d = output - target.

    output: any shape; target: same shape.
    Source: BigDL's SmoothL1Criterion; Girshick 2015 (Fast R-CNN).
    """

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        gap, share = output - target, _share(output, self.size_average)
        return float(smooth_l1(gap).sum() * share), lambda: np.clip(gap, -1, 1) * share


def smooth_l1(gap: Array) -> Array:
    """d^2 / 2 where |d| < 1, else |d| - 1/2."""
    size = np.abs(gap)
    return np.where(size < 1, np.float32(0.5) * gap * gap, size - np.float32(0.5))


@dataclass(eq=False)
class SmoothL1CriterionWithWeights(Criterion):
    """Smooth L1 of weighted differences: sum of outside f(inside (output - target)) / num, or / N with num = 0.

    f(d) = sigma^2 d^2 / 2 where |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2).
    output: (N, ...); target: [target], or [target, inside weights, outside weights], each of the output's size.
    Source: BigDL's SmoothL1CriterionWithWeights; Girshick 2015 (Fast R-CNN).

    Raises:
        ValueError: arrays of several sizes, or two of them.
    """

    sigma: float
    num: int = 0

    def apply(self, output: Array, target: Any) -> tuple[float, Gradient]:
        parts = target if isinstance(target, list) else [target]
        if len(parts) not in (1, 3) or any(part.size != output.size for part in parts):
            raise ValueError(
                f"{self.label()}: got output {describe(output)} and target {describe(target)}, expected one array, or "
                f"three: "
                "target, inside and outside weights, of the output's size"
            )
        wanted, *weights = (part.reshape(output.shape) for part in parts)
        inside, outside = weights or (output.dtype.type(1), output.dtype.type(1))
        square, share = output.dtype.type(self.sigma**2), output.dtype.type(1.0 / (self.num or max(len(output), 1)))
        gap = (output - wanted) * inside
        loss = (outside * smooth_l1(gap * square)).sum() / square * share
        return float(loss), lambda: outside * inside * np.clip(square * gap, -1, 1) * share


@dataclass(eq=False)
class L1Cost(Criterion):
    """Sum of |output|. output: any shape; the target is not used. Source: BigDL's L1Cost."""

    def apply(self, output: Array, target: object) -> tuple[float, Gradient]:
        return float(np.abs(output).sum()), lambda: np.sign(output)


@dataclass(eq=False)
class DistKLDivCriterion(Criterion):
    """Mean of target (log target - output) where target > 0; output holds log-probabilities.

    output: any shape; target: same shape, probabilities.
    Source: BigDL's DistKLDivCriterion.
    """

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share = _share(output, self.size_average)
        positive = np.maximum(target, 0)
        terms = positive * (np.log(np.where(positive > 0, positive, 1)) - output)
        return float(terms.sum() * share), lambda: -positive * share


@dataclass(eq=False)
class KullbackLeiblerDivergenceCriterion(Criterion):
    """Sum over classes of t log(t / p), averaged over the batch; both clipped to [1e-7, 1].

    output: (N, C) probabilities; target: same shape.
    Source: BigDL's KullbackLeiblerDivergenceCriterion.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        p, t = np.clip(output, _TINY, 1), np.clip(target, _TINY, 1)
        count = float(max(len(output), 1))
        inside = (output >= _TINY) & (output <= 1)
        return float((t * np.log(t / p)).sum() / count), lambda: -t / p / count * inside


@dataclass(eq=False)
class PoissonCriterion(Criterion):
    """Mean of output - target log(output + 1e-7).

    output: any shape; target: same shape.
    Source: BigDL's PoissonCriterion.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share, safe = _share(output, True), output + _TINY
        return float((output - target * np.log(safe)).sum() * share), lambda: (1 - target / safe) * share


@dataclass(eq=False)
class MeanAbsolutePercentageCriterion(Criterion):
    """Mean of 100 |output - target| / max(|target|, 1e-7).

    output: any shape; target: same shape.
    Source: BigDL's MeanAbsolutePercentageCriterion; Keras' mean_absolute_percentage_error.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        gap, scale = output - target, 100 * _share(output, True) / np.maximum(np.abs(target), _TINY)
        return float((np.abs(gap) * scale).sum()), lambda: np.sign(gap) * scale


@dataclass(eq=False)
class MeanSquaredLogarithmicCriterion(Criterion):
    """Mean of (log(1 + output) - log(1 + target))^2, where numbers below 1e-7 count as 1e-7.

    output: any shape; target: same shape.
    Source: BigDL's MeanSquaredLogarithmicCriterion; Keras' mean_squared_logarithmic_error.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share, safe = _share(output, True), np.maximum(output, _TINY)
        gap = np.log1p(safe) - np.log1p(np.maximum(target, _TINY))
        return float(np.vdot(gap, gap) * share), lambda: 2 * share * gap / (1 + safe) * (output >= _TINY)


@dataclass(eq=False)
class MarginCriterion(Criterion):
    """Mean of max(0, margin - output target), squared if `squared`.

    output: any shape; target: same shape, 1 or -1.
    Source: BigDL's MarginCriterion.
    """

    margin: float = 1.0
    size_average: bool = True
    squared: bool = False

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share = _share(output, self.size_average)
        slack = np.maximum(float(self.margin) - output * target, 0)
        if self.squared:
            return float(np.square(slack).sum() * share), lambda: -2 * share * slack * target
        return float(slack.sum() * share), lambda: -share * target * (slack > 0)


@dataclass(eq=False)
class SoftMarginCriterion(Criterion):
    """Mean of log(1 + exp(-target output)).

    output: any shape; target: same shape, 1 or -1.
    Source: BigDL's SoftMarginCriterion.
    """

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share, product = _share(output, self.size_average), output * target
        loss = float(np.logaddexp(np.float32(0), -product).sum() * share)
        return loss, lambda: -target * sigmoid(-product) * share


@dataclass(eq=False)
class HingeEmbeddingCriterion(Criterion):
    """Mean of output where the target is 1, and of max(0, margin - output) where it is -1.

    output: any shape; target: same shape, 1 or -1.
    Source: BigDL's HingeEmbeddingCriterion.
    """

    margin: float = 1.0
    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share, alike = _share(output, self.size_average), target == 1
        slack = np.maximum(float(self.margin) - output, 0)
        loss = float(np.where(alike, output, slack).sum() * share)
        return loss, lambda: np.where(alike, share, -share * (slack > 0))


@dataclass(eq=False)
class DiceCoefficientCriterion(Criterion):
    """Mean over samples of 1 - (2 sum(x t) + epsilon) / (sum x + sum t + epsilon).

    output: (N, ...); target: same shape.
    Source: BigDL's DiceCoefficientCriterion; Milletari et al. 2016 (V-Net).
    """

    size_average: bool = True
    epsilon: float = 1.0

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        shape = len(output), prod(output.shape[1:])
        rows, wanted = output.reshape(shape), target.reshape(shape)
        above = 2 * (rows * wanted).sum(axis=1, keepdims=True) + float(self.epsilon)
        below = (rows + wanted).sum(axis=1, keepdims=True) + float(self.epsilon)
        share = 1.0 / max(len(rows), 1) if self.size_average else 1.0
        slope = (above / np.square(below) - 2 * wanted / below) * share
        return float((1 - above / below).sum() * share), lambda: slope.reshape(output.shape)


@dataclass(eq=False)
class DotProductCriterion(Criterion):
    """Sum of output * target; with size_average, 2-D inputs are averaged over the batch.

    output: any shape; target: same shape.
    Source: BigDL's DotProductCriterion.
    """

    size_average: bool = False

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share = 1.0 / max(len(output), 1) if self.size_average and output.ndim == 2 else 1.0
        return float(np.vdot(output, target) * share), lambda: target * share


@dataclass(eq=False)
class PGCriterion(Criterion):
    """Policy gradient: sum of -target log(output).

    output: any shape, probabilities; target: same shape, the reward, zero where the action was not taken.
    Source: BigDL's PGCriterion; Williams 1992 (REINFORCE).
    """

    sizeAverage: bool = False

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        share = 1.0 / max(len(output), 1) if self.sizeAverage and output.ndim == 2 else 1.0
        return float(-(target * np.log(output)).sum() * share), lambda: -target / output * share


@dataclass(eq=False)
class KLDCriterion(Criterion):
    """KL divergence of N(mean, exp(log variance)) from N(0, 1), averaged over the batch.

    output: [mean (N, D), log variance (N, D)]; the target is not used.
    Source: BigDL's KLDCriterion; Kingma and Welling 2014.
    """

    size_average: bool = True

    def apply(self, output: list[Array], target: object) -> tuple[float, Gradient]:
        mean, log_variance = output
        share = 1.0 / max(len(mean), 1) if self.size_average else 1.0
        variance = np.exp(log_variance)
        loss = 0.5 * (np.square(mean) + variance - 1 - log_variance).sum() * share
        return float(loss), lambda: [mean * share, 0.5 * (variance - 1) * share]


@dataclass(eq=False)
class GaussianCriterion(Criterion):
    """Negative log-likelihood of the target under N(mean, exp(log variance)), summed.

    output: [mean, log variance]; target: the shape of each.
    Source: BigDL's GaussianCriterion; Kingma and Welling 2014.
    """

    def apply(self, output: list[Array], target: Array) -> tuple[float, Gradient]:
        mean, log_variance = output
        target = matched(mean, target, self.label())
        gap, precision = mean - target, np.exp(-log_variance)
        loss = 0.5 * (np.log(2 * np.pi) + log_variance + np.square(gap) * precision).sum()
        return float(loss), lambda: [gap * precision, 0.5 * (1 - np.square(gap) * precision)]
