"""Criterions on pairs: the angle between two rows, their distance, or which of two scores is larger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array, describe
from dlcore.nn.criterion.criterion import Criterion, Gradient, matched

_TINY = 1e-12


def _only(target: Any) -> Array:
    """The target, which BigDL puts into a table of one."""
    found: Array = target[0] if isinstance(target, list) and len(target) == 1 else target
    return found


def _cosines(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """The cosines (N,) of two arrays of rows (N, D), and the gradients (N, D) of each cosine for both rows."""
    tiny = first.dtype.type(_TINY)
    lengths = [np.sqrt(np.square(rows).sum(axis=1, keepdims=True) + tiny) for rows in (first, second)]
    units = [first / lengths[0], second / lengths[1]]
    cosine = (units[0] * units[1]).sum(axis=1, keepdims=True)
    slopes = [(units[1 - i] - cosine * units[i]) / lengths[i] for i in (0, 1)]
    return cosine[:, 0], slopes[0], slopes[1]


@dataclass(eq=False)
class CosineDistanceCriterion(Criterion):
    """Mean over rows of 1 - cosine(output, target).

    output: (N, D) or (D,); target: same shape.
    Source: BigDL's CosineDistanceCriterion.
    """

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        cosine, slope, _ = _cosines(np.atleast_2d(output), np.atleast_2d(target))
        share = output.dtype.type(1.0 / max(len(cosine), 1) if self.size_average else 1.0)
        return float((1 - cosine).sum() * share), lambda: (-share * slope).reshape(output.shape)


@dataclass(eq=False)
class CosineProximityCriterion(Criterion):
    """Minus the cosine of output and target along the last dimension, as a mean over all elements.

    output: (..., D); target: same shape.
    Source: BigDL's CosineProximityCriterion; Keras' cosine_proximity.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        rows = output.reshape(-1, output.shape[-1])
        cosine, slope, _ = _cosines(rows, target.reshape(rows.shape))
        share = output.dtype.type(1.0 / max(output.size, 1))
        return float(-cosine.sum() * share), lambda: (-share * slope).reshape(output.shape)


@dataclass(eq=False)
class CosineEmbeddingCriterion(Criterion):
    """Mean of 1 - cosine for rows that are alike (target 1) and of max(0, cosine - margin) for others (target -1).

    output: [(N, D), (N, D)], or [(D,), (D,)]; target: (N,) of 1 and -1, or a table of that.
    Source: BigDL's CosineEmbeddingCriterion.

    Raises:
        ValueError: rows of two shapes, or another number of targets.
    """

    margin: float = 0.0
    size_average: bool = True

    def apply(self, output: list[Any], target: Any) -> tuple[float, Gradient]:
        first, second = _pair(output, self.label())
        alike = _signs(target, len(np.atleast_2d(first)), self.label()) > 0
        cosine, *slopes = _cosines(np.atleast_2d(first), np.atleast_2d(second))
        share = first.dtype.type(1.0 / max(len(alike), 1) if self.size_average else 1.0)
        excess = np.maximum(cosine - first.dtype.type(self.margin), 0)
        loss = np.where(alike, 1 - cosine, excess).sum() * share

        def gradient() -> list[Array]:
            factor = share * np.where(alike, -1, excess > 0).astype(first.dtype)[:, None]
            return [(factor * slope).reshape(first.shape) for slope in slopes]

        return float(loss), gradient


@dataclass(eq=False)
class L1HingeEmbeddingCriterion(Criterion):
    """The L1 distance of two arrays that are alike (target 1); max(0, margin - distance) for others (target -1).

    output: [(D,), (D,)], also of any other shape; target: one number, 1 or -1.
    Source: BigDL's L1HingeEmbeddingCriterion.

    Raises:
        ValueError: arrays of two shapes, or several targets.
    """

    margin: float = 1.0

    def apply(self, output: list[Any], target: Any) -> tuple[float, Gradient]:
        first, second = _pair(output, self.label())
        is_alike = _signs(target, 1, self.label())[0] > 0
        gap = first - second
        distance = float(np.abs(gap).sum())
        loss = distance if is_alike else max(0.0, self.margin - distance)

        def gradient() -> list[Array]:
            slope = np.sign(gap) * gap.dtype.type(1 if is_alike else -(loss > 0))
            return [slope, -slope]

        return loss, gradient


@dataclass(eq=False)
class MarginRankingCriterion(Criterion):
    """Mean of max(0, margin - target (first - second)): which of two scores should be larger, and by how much.

    output: [(N,), (N,)]; target: (N,) of 1 where the first and -1 where the second should be larger, or a table
    whose first entry is that.
    Source: BigDL's MarginRankingCriterion.

    Raises:
        ValueError: arrays of two shapes, or another number of targets.
    """

    margin: float = 1.0
    size_average: bool = True

    def apply(self, output: list[Any], target: Any) -> tuple[float, Gradient]:
        first, second = _pair(output, self.label())
        of_pairs = target[0] if isinstance(target, list) and target else target
        wanted = _signs(of_pairs, first.size, self.label()).reshape(first.shape)
        share = first.dtype.type(1.0 / max(first.size, 1) if self.size_average else 1.0)
        slack = np.maximum(first.dtype.type(self.margin) - wanted * (first - second), 0)

        def gradient() -> list[Array]:
            slope = -share * wanted * (slack > 0)
            return [slope, -slope]

        return float(slack.sum() * share), gradient


def _pair(output: Any, label: str) -> tuple[Array, Array]:
    if not isinstance(output, list) or len(output) != 2 or np.shape(output[0]) != np.shape(output[1]):
        raise ValueError(f"{label}: got output {describe(output)}, expected a table of two arrays of one shape")
    return output[0], output[1]


def _signs(target: Any, count: int, label: str) -> Array:
    signs = _only(target)
    if isinstance(signs, list) or signs.size != count:
        raise ValueError(f"{label}: got target {describe(target)}, expected {count} numbers, each 1 or -1")
    return signs.reshape(-1)
