"""Validation methods: each scores a batch; results of batches add up."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array
from dlcore.nn.criterion.classification import ClassNLLCriterion
from dlcore.nn.criterion.criterion import Criterion


@dataclass(frozen=True)
class EvaluatedResult:
    """The mean `result` over `total_num` records by `method`."""

    result: float
    total_num: int
    method: str

    def __add__(self, other: "EvaluatedResult") -> "EvaluatedResult":
        total = self.total_num + other.total_num
        mean = (self.result * self.total_num + other.result * other.total_num) / max(total, 1)
        return EvaluatedResult(mean, total, self.method)


class ValidationMethod:
    """Scores outputs against targets."""

    def __call__(self, output: Any, target: Any) -> EvaluatedResult:
        """The score of one batch."""
        raise NotImplementedError

    def name(self) -> str:
        """The method's name in summaries."""
        return type(self).__name__


def _top(output: Array, target: Array, k: int, name: str) -> EvaluatedResult:
    """The share of rows whose 1-based label is among the `k` largest; one column counts as a probability of 0.5 and more."""
    labels = target.reshape(-1).astype(np.int64)
    if output.shape[-1] == 1:
        hits = (output.reshape(-1) >= 0.5).astype(np.int64) == labels
    else:
        rows = output.reshape(len(labels), -1)
        best = np.argpartition(-rows, min(k, rows.shape[1]) - 1, axis=1)[:, :k]
        hits = (best + 1 == labels[:, None]).any(axis=1)
    return EvaluatedResult(float(hits.mean()) if len(hits) else 0.0, len(hits), name)


@dataclass
class Top1Accuracy(ValidationMethod):
    """The share of records whose largest output is at the 1-based label. output: (N, C); target: (N,)."""

    def __call__(self, output: Array, target: Array) -> EvaluatedResult:
        return _top(output, target, 1, self.name())


@dataclass
class Top5Accuracy(ValidationMethod):
    """The share of records whose label is among the five largest outputs."""

    def __call__(self, output: Array, target: Array) -> EvaluatedResult:
        return _top(output, target, 5, self.name())


@dataclass
class MAE(ValidationMethod):
    """The mean absolute difference."""

    def __call__(self, output: Array, target: Array) -> EvaluatedResult:
        return EvaluatedResult(float(np.abs(output - target).mean()), len(output), self.name())


@dataclass
class Loss(ValidationMethod):
    """The mean of a criterion; ClassNLLCriterion unless given."""

    cri: Criterion = field(default_factory=ClassNLLCriterion)

    def __call__(self, output: Activity, target: Activity) -> EvaluatedResult:
        first = output[0] if isinstance(output, list) else output
        return EvaluatedResult(self.cri.forward(output, target), len(first), self.name())
