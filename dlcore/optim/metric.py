"""Validation methods: each gives a tally of a batch; tallies of batches add up, and know their result."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Activity, Array
from dlcore.nn.criterion.classification import ClassNLLCriterion
from dlcore.nn.criterion.criterion import Criterion


@dataclass(frozen=True)
class EvaluatedResult:
    """The `result` of `method` over `total_num` records."""

    result: float
    total_num: int
    method: str


class Tally(ABC):
    """The counts of a method, for one batch or added up over several, in any order and on any machine."""

    @abstractmethod
    def __add__(self, other: Self) -> Self:
        """Both together."""

    @abstractmethod
    def result(self) -> EvaluatedResult:
        """The method's result over all that was counted."""


@dataclass(frozen=True)
class MeanTally(Tally):
    """A sum over `count` records; the result is the mean."""

    total: float
    count: int
    method: str

    def __add__(self, other: MeanTally) -> MeanTally:
        return MeanTally(self.total + other.total, self.count + other.count, self.method)

    def result(self) -> EvaluatedResult:
        return EvaluatedResult(self.total / max(self.count, 1), self.count, self.method)


@dataclass(frozen=True)
class RankingTally(Tally):
    """Scores (N, classes) and 1-based labels (N,) of all records; the result is the mean average precision."""

    scores: Array
    labels: np.ndarray[Any, np.dtype[np.int64]]
    k: int
    method: str

    def __add__(self, other: RankingTally) -> RankingTally:
        scores = np.concatenate([self.scores, other.scores])
        return RankingTally(scores, np.concatenate([self.labels, other.labels]), self.k, self.method)

    def result(self) -> EvaluatedResult:
        precisions = [self._average_precision(column) for column in range(self.scores.shape[1])]
        return EvaluatedResult(float(np.mean(precisions)), len(self.labels), self.method)

    def _average_precision(self, column: int) -> float:
        """The mean, over the records of a class, of the best precision at that recall or above (VOC from 2010 on)."""
        is_hit = self.labels == column + 1
        best = np.argsort(-self.scores[:, column], kind="stable")
        hits = is_hit[best[: self.k] if self.k > 0 else best]
        at_hits = (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits]
        above = np.maximum.accumulate(at_hits[::-1])
        return float(above.sum() / max(int(is_hit.sum()), 1))


@dataclass
class ValidationMethod:
    """Scores outputs against targets. All take `bigdl_type` because BigDL's do."""

    bigdl_type: str = field(default="float", kw_only=True, repr=False, compare=False)

    def __call__(self, output: Any, target: Any) -> Tally:
        """The tally of one batch."""
        raise NotImplementedError

    def name(self) -> str:
        """The method's name in summaries."""
        return type(self).__name__


def _rows(output: Array, labels: NDArray[np.int64], name: str) -> Array:
    """(N, C) the outputs of N labels.

    Raises:
        ValueError: there are outputs for more records, or for fewer.
    """
    rows = output.reshape(-1, output.shape[-1])
    if len(rows) != len(labels):
        raise ValueError(f"{name}: got output {output.shape} for {len(labels)} labels, expected (N, C) for N labels")
    return rows


def _top(output: Array, target: Array, k: int, name: str) -> MeanTally:
    """The share of rows whose 1-based label is among the `k` largest; one column counts as a probability of 0.5 and
    more."""
    labels = target.reshape(-1).astype(np.int64)
    if not len(labels):
        return MeanTally(0.0, 0, name)
    rows = _rows(output, labels, name)
    if rows.shape[1] == 1:
        hits = (rows[:, 0] >= 0.5).astype(np.int64) == labels
    else:
        if labels.min() == 0:
            warnings.warn(
                f"{name}: got a label of 0, expected labels from 1 to {rows.shape[1]}; they look 0-based: add 1 to "
                f"them",
                stacklevel=3,
            )
        best = np.argpartition(-rows, min(k, rows.shape[1]) - 1, axis=1)[:, :k]
        hits = (best + 1 == labels[:, None]).any(axis=1)
    return MeanTally(float(hits.sum()), len(hits), name)


@dataclass
class Top1Accuracy(ValidationMethod):
    """The share of records whose largest output is at the 1-based label. output: (N, C); target: (N,)."""

    def __call__(self, output: Array, target: Array) -> MeanTally:
        return _top(output, target, 1, self.name())


@dataclass
class Top5Accuracy(ValidationMethod):
    """The share of records whose label is among the five largest outputs."""

    def __call__(self, output: Array, target: Array) -> MeanTally:
        return _top(output, target, 5, self.name())


@dataclass
class MAE(ValidationMethod):
    """The mean absolute difference."""

    def __call__(self, output: Array, target: Array) -> MeanTally:
        if output.size != target.size:
            raise ValueError(
                f"{self.name()}: got output {output.shape} and target {target.shape}, expected as many numbers"
            )
        difference = np.abs(output - target.reshape(output.shape))
        return MeanTally(float(difference.mean()) * len(output) if difference.size else 0.0, len(output), self.name())


@dataclass
class Loss(ValidationMethod):
    """The mean of a criterion; ClassNLLCriterion unless given."""

    cri: Criterion | None = None

    def __post_init__(self) -> None:
        self.criterion = self.cri or ClassNLLCriterion()

    def __call__(self, output: Activity, target: Activity) -> MeanTally:
        first = output[0] if isinstance(output, list) else output
        total = self.criterion.forward(output, target) * len(first) if len(first) else 0.0
        return MeanTally(total, len(first), self.name())


@dataclass
class MeanAveragePrecision(ValidationMethod):
    """The mean over `classes` of the average precision of the records ranked by a class's output. output: (N, classes);
    target: (N,) 1-based labels. Only the best k records of a class count, all with k <= 0; a class without records
    counts 0.
    """

    k: int
    classes: int

    def __call__(self, output: Array, target: Array) -> RankingTally:
        if output.shape[-1] != self.classes:
            raise ValueError(f"MeanAveragePrecision: got output {output.shape}, expected {self.classes} classes")
        labels = np.asarray(target).reshape(-1).astype(np.int64)
        return RankingTally(_rows(output, labels, self.name()), labels, self.k, self.name())


@dataclass
class TreeNNAccuracy(ValidationMethod):
    """Top1Accuracy of the root of each tree. output: (N, nodes, C), or (nodes, C) of one tree, the root first; target:
    (N, nodes)."""

    def __call__(self, output: Array, target: Array) -> MeanTally:
        roots = output[:, 0] if output.ndim == 3 else output[:1]
        if target.size % max(len(roots), 1):
            raise ValueError(
                f"{self.name()}: got output {output.shape} and target {target.shape}, expected (N, nodes, C) and (N, "
                f"nodes)"
            )
        return _top(roots, target.reshape(len(roots), -1)[:, :1], 1, self.name())


@dataclass
class _AmongNegatives(ValidationMethod):
    """Scores the rank of the one right item of each group of `neg_num` + 1."""

    k: int = 10
    neg_num: int = 100

    def __call__(self, output: Array, target: Array) -> MeanTally:
        size = self.neg_num + 1
        if output.size % size or target.size != output.size:
            raise ValueError(
                f"{self.name()}: got outputs {output.shape} and targets {target.shape}, expected groups of {size}: "
                f"one right item "
                f"and {self.neg_num} others; set neg_num to as many as there are"
            )
        scores, is_right = output.reshape(-1, size), target.reshape(-1, size) == 1
        if (is_right.sum(axis=1) != 1).any():
            raise ValueError(f"{self.name()}: got a group without or with several targets of 1, expected one in each")
        right = scores[is_right]
        ranks = np.where(np.isnan(right), np.inf, 1 + (scores > right[:, None]).sum(axis=1))
        return MeanTally(float(self.worth(ranks)[ranks <= self.k].sum()), len(ranks), self.name())

    def worth(self, ranks: Any) -> Any:
        """What each rank counts; 1 is the best."""
        raise NotImplementedError


@dataclass
class HitRatio(_AmongNegatives):
    """The share of groups whose right item is among the `k` best; of equal scores it comes first.

    output: scores, a group of neg_num + 1 after the other; target: 1 for the right item of each group.
    """

    def worth(self, ranks: Any) -> Any:
        return np.ones(len(ranks))


@dataclass
class NDCG(_AmongNegatives):
    """The mean over groups of 1 / log2(1 + rank) of the right item, 0 below rank `k`; of equal scores it comes first.

    output: scores, a group of neg_num + 1 after the other; target: 1 for the right item of each group.
    """

    def worth(self, ranks: Any) -> Any:
        return 1 / np.log2(1 + ranks)


@dataclass(frozen=True)
class ScoredTally(Tally):
    """Scores (N,) of all records, and which are positive (N,); the result is the area under the ROC curve."""

    scores: Array
    is_positive: np.ndarray[Any, np.dtype[np.bool_]]
    method: str

    def __add__(self, other: ScoredTally) -> ScoredTally:
        scores = np.concatenate([self.scores, other.scores])
        return ScoredTally(scores, np.concatenate([self.is_positive, other.is_positive]), self.method)

    def result(self) -> EvaluatedResult:
        """The share of pairs of a positive and a negative in which the positive scores more, equal scores counting
        half."""
        _, places, counts = np.unique(self.scores, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
        positives, count = int(self.is_positive.sum()), len(self.scores)
        above = ranks[self.is_positive].sum() - positives * (positives + 1) / 2
        pairs = positives * (count - positives)
        return EvaluatedResult(float(above / pairs) if pairs else float("nan"), count, self.method)


@dataclass
class AUC(ValidationMethod):
    """The area under the ROC curve over all records, exactly: NaN unless there are both kinds.

    output: (N,) or (N, 1) scores, or (N, 2), of which the second counts; target: (N,), positive above 0.5.
    Source: Hanley and McNeil 1982; Analytics Zoo's AUC cuts at threshold_num scores.
    """

    def __call__(self, output: Array, target: Array) -> ScoredTally:
        labels = np.asarray(target).reshape(-1)
        scores = output.reshape(len(labels), -1) if len(labels) else np.zeros((0, 1), output.dtype)
        if scores.shape[1] not in (1, 2):
            raise ValueError(
                f"AUC: got output {output.shape} for {len(labels)} records, expected one score each, or two"
            )
        return ScoredTally(scores[:, -1], labels > 0.5, self.name())
