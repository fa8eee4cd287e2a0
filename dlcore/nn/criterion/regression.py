"""Criterions on numbers and distributions: output and target of one shape unless said otherwise."""

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.nn.activation import sigmoid
from dlcore.nn.criterion.criterion import Criterion, Gradient, check_same_shape

_TINY = np.float32(1e-7)


def _share(output: Array, size_average: bool) -> np.float32:
    return np.float32(1.0 / output.size if size_average and output.size else 1.0)


@dataclass(eq=False)
class MSECriterion(Criterion):
    """Mean of (output - target)^2; the sum with sizeAverage=False."""

    sizeAverage: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        gap, share = output - target, _share(output, self.sizeAverage)
        return float(np.vdot(gap, gap) * share), lambda: 2 * share * gap


@dataclass(eq=False)
class AbsCriterion(Criterion):
    """Mean of |output - target|."""

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        gap, share = output - target, _share(output, self.size_average)
        return float(np.abs(gap).sum() * share), lambda: np.sign(gap) * share


@dataclass(eq=False)
class SmoothL1Criterion(Criterion):
    """Mean of d^2 / 2 where |d| < 1, else |d| - 1/2, with d = output - target."""

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        gap, share = output - target, _share(output, self.size_average)
        return float(smooth_l1(gap).sum() * share), lambda: np.clip(gap, -1, 1) * share


def smooth_l1(gap: Array) -> Array:
    """d^2 / 2 where |d| < 1, else |d| - 1/2."""
    size = np.abs(gap)
    return np.where(size < 1, np.float32(0.5) * gap * gap, size - np.float32(0.5))


@dataclass(eq=False)
class L1Cost(Criterion):
    """Sum of |output|; the target is not used."""

    def apply(self, output: Array, target: object) -> tuple[float, Gradient]:
        return float(np.abs(output).sum()), lambda: np.sign(output)


@dataclass(eq=False)
class DistKLDivCriterion(Criterion):
    """Mean of target (log target - output) where target > 0; output holds log-probabilities."""

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share = _share(output, self.size_average)
        positive = np.maximum(target, 0)
        terms = positive * (np.log(np.where(positive > 0, positive, 1)) - output)
        return float(terms.sum() * share), lambda: -positive * share


@dataclass(eq=False)
class KullbackLeiblerDivergenceCriterion(Criterion):
    """Sum over classes of t log(t / p), averaged over the batch; both clipped to [1e-7, 1]."""

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        p, t = np.clip(output, _TINY, 1), np.clip(target, _TINY, 1)
        count = np.float32(len(output))
        inside = (output >= _TINY) & (output <= 1)
        return float((t * np.log(t / p)).sum() / count), lambda: -t / p / count * inside


@dataclass(eq=False)
class PoissonCriterion(Criterion):
    """Mean of output - target log(output + 1e-7)."""

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share, safe = _share(output, True), output + _TINY
        return float((output - target * np.log(safe)).sum() * share), lambda: (1 - target / safe) * share


@dataclass(eq=False)
class MarginCriterion(Criterion):
    """Mean of max(0, margin - output target), squared if `squared`; the target is -1 or 1."""

    margin: float = 1.0
    size_average: bool = True
    squared: bool = False

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share = _share(output, self.size_average)
        slack = np.maximum(np.float32(self.margin) - output * target, 0)
        if self.squared:
            return float(np.square(slack).sum() * share), lambda: -2 * share * slack * target
        return float(slack.sum() * share), lambda: -share * target * (slack > 0)


@dataclass(eq=False)
class SoftMarginCriterion(Criterion):
    """Mean of log(1 + exp(-target output)); the target is -1 or 1."""

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share, product = _share(output, self.size_average), output * target
        loss = float(np.logaddexp(np.float32(0), -product).sum() * share)
        return loss, lambda: -target * sigmoid(-product) * share


@dataclass(eq=False)
class HingeEmbeddingCriterion(Criterion):
    """Mean of output where the target is 1, of max(0, margin - output) where it is -1."""

    margin: float = 1.0
    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share, alike = _share(output, self.size_average), target == 1
        slack = np.maximum(np.float32(self.margin) - output, 0)
        loss = float(np.where(alike, output, slack).sum() * share)
        return loss, lambda: np.where(alike, share, -share * (slack > 0))


@dataclass(eq=False)
class DiceCoefficientCriterion(Criterion):
    """Mean over samples of 1 - (2 sum(x t) + epsilon) / (sum x + sum t + epsilon). output: (N, ...)."""

    size_average: bool = True
    epsilon: float = 1.0

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        rows, wanted = output.reshape(len(output), -1), target.reshape(len(output), -1)
        above = 2 * (rows * wanted).sum(axis=1, keepdims=True) + np.float32(self.epsilon)
        below = (rows + wanted).sum(axis=1, keepdims=True) + np.float32(self.epsilon)
        share = np.float32(1.0 / len(rows) if self.size_average else 1.0)
        slope = (above / np.square(below) - 2 * wanted / below) * share
        return float((1 - above / below).sum() * share), lambda: slope.reshape(output.shape)


@dataclass(eq=False)
class DotProductCriterion(Criterion):
    """Sum of output * target: 2-D inputs are averaged over the batch with size_average."""

    size_average: bool = False

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share = np.float32(1.0 / len(output) if self.size_average and output.ndim == 2 else 1.0)
        return float(np.vdot(output, target) * share), lambda: target * share


@dataclass(eq=False)
class PGCriterion(Criterion):
    """Policy gradient: sum of -target log(output); the target is the reward, zero where the action was not taken."""

    sizeAverage: bool = False

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        check_same_shape(output, target, self.label())
        share = np.float32(1.0 / len(output) if self.sizeAverage and output.ndim == 2 else 1.0)
        return float(-(target * np.log(output)).sum() * share), lambda: -target / output * share


@dataclass(eq=False)
class KLDCriterion(Criterion):
    """KL divergence of N(mean, exp(log variance)) from N(0, 1), averaged over the batch.

    output: [mean (N, D), log variance (N, D)]; the target is not used.
    """

    size_average: bool = True

    def apply(self, output: list[Array], target: object) -> tuple[float, Gradient]:
        mean, log_variance = output
        share = np.float32(1.0 / len(mean) if self.size_average else 1.0)
        variance = np.exp(log_variance)
        loss = 0.5 * (np.square(mean) + variance - 1 - log_variance).sum() * share
        return float(loss), lambda: [mean * share, np.float32(0.5) * (variance - 1) * share]


@dataclass(eq=False)
class GaussianCriterion(Criterion):
    """Negative log-likelihood of the target under N(mean, exp(log variance)), summed.

    output: [mean, log variance]; target: the shape of each.
    """

    def apply(self, output: list[Array], target: Array) -> tuple[float, Gradient]:
        mean, log_variance = output
        check_same_shape(mean, target, self.label())
        gap, precision = mean - target, np.exp(-log_variance)
        loss = 0.5 * (np.log(2 * np.pi) + log_variance + np.square(gap) * precision).sum()
        return float(loss), lambda: [gap * precision, np.float32(0.5) * (1 - np.square(gap) * precision)]
