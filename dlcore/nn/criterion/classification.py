"""Criterions on classes. Labels are 1-based; the label -1 is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.activity import Array
from dlcore.nn.criterion.criterion import Criterion, Gradient, class_rows, matched
from dlcore.nn.layers.activation import sigmoid

_TINY = np.float32(1e-8)


def _rows(output: Array) -> tuple[Array, bool]:
    """(N, C) of (C,) or (N, C), and whether there was no batch."""
    return (output[None], True) if output.ndim == 1 else (output, False)


@dataclass(eq=False)
class ClassNLLCriterion(Criterion):
    """Mean of -weights[label] * log p(label), divided by the sum of the weights used.

    output: (N, C) or (C,) log-probabilities (probabilities with logProbAsInput=False); target: (N,) labels.
    Source: BigDL's ClassNLLCriterion.
    """

    weights: Array | None = None
    size_average: bool = True
    logProbAsInput: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        rows, is_single = _rows(output)
        labels, counted = class_rows(target, rows.shape[:1], rows.shape[1], self.label())
        factor = counted.astype(rows.dtype)
        if self.weights is not None:
            factor = factor * np.asarray(self.weights, rows.dtype)[labels]
        total = max(float(factor.sum()), 1e-30) if self.size_average else 1.0
        chosen = rows[np.arange(len(rows)), labels]
        logs = chosen if self.logProbAsInput else np.log(np.maximum(chosen, _TINY))

        def gradient() -> Array:
            grad = np.zeros_like(rows)
            slope = 1 if self.logProbAsInput else 1 / np.maximum(chosen, _TINY)
            grad[np.arange(len(rows)), labels] = -factor * slope / total
            return grad[0] if is_single else grad

        return float(-(factor * logs).sum() / total), gradient


@dataclass(eq=False)
class CrossEntropyCriterion(Criterion):
    """ClassNLLCriterion of LogSoftMax: the softmax loss.

    output: (N, C) or (C,) scores; target: (N,) labels.
    Source: BigDL's CrossEntropyCriterion.
    """

    weights: Array | None = None
    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        logs = kernels.log_softmax(output, output.ndim - 1)
        loss, inner = ClassNLLCriterion(self.weights, self.size_average).apply(logs, target)

        def gradient() -> Array:
            return kernels.log_softmax_backward(inner(), logs, logs.ndim - 1)

        return loss, gradient


@dataclass(eq=False)
class SoftmaxWithCriterion(Criterion):
    """Softmax loss at each position.

    output: (N, C, H, W) scores; target: (N, 1, H, W) labels. `normalize_mode`: FULL divides by all positions, VALID by
    those not ignored, BATCH_SIZE by N, NONE by 1.
    Source: BigDL's SoftmaxWithCriterion.
    """

    ignore_label: int | None = None
    normalize_mode: str = "VALID"

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        moved = np.moveaxis(output, 1, -1)
        rows = moved.reshape(-1, output.shape[1])
        given = np.where(target == self.ignore_label, -1, target) if self.ignore_label is not None else target
        labels, counted = class_rows(given, rows.shape[:1], rows.shape[1], self.label())
        modes = {"FULL": len(rows), "VALID": int(counted.sum()), "BATCH_SIZE": len(output), "NONE": 1}
        if self.normalize_mode not in modes:
            raise ValueError(
                f"{self.label()}: got normalize_mode {self.normalize_mode!r}, expected one of {list(modes)}"
            )
        total = float(max(modes[self.normalize_mode], 1))
        logs = kernels.log_softmax(rows, 1)
        chosen = logs[np.arange(len(rows)), labels] * counted

        def gradient() -> Array:
            grad = np.exp(logs)
            grad[np.arange(len(rows)), labels] -= 1
            grad *= counted[:, None] / total
            return np.moveaxis(grad.reshape(moved.shape), -1, 1)

        return float(-chosen.sum() / total), gradient


@dataclass(eq=False)
class CategoricalCrossEntropy(Criterion):
    """Mean over the batch of -sum of target * log(output / sum of output).

    output: (N, C) probabilities; target: (N, C) one-hot.
    Source: BigDL's CategoricalCrossEntropy.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        total = output.sum(axis=-1, keepdims=True)
        share = np.clip(output / total, _TINY, 1 - _TINY)
        count = float(max(len(output), 1))

        def gradient() -> Array:
            slope = -target / share / count
            back: Array = (slope - (slope * share).sum(axis=-1, keepdims=True)) / total
            return back

        return float(-(target * np.log(share)).sum() / count), gradient


@dataclass(eq=False)
class BCECriterion(Criterion):
    """Mean of -weights (t log p + (1 - t) log(1 - p)), with 1e-12 inside the logarithms.

    output: probabilities of any shape; target: same shape; weights broadcast.
    Source: BigDL's BCECriterion.
    """

    weights: Array | None = None
    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        p, t = output.astype(np.float64), target.astype(np.float64)
        factor = np.ones(1) if self.weights is None else np.asarray(self.weights, np.float64)
        total = float(max(output.size, 1)) if self.size_average else 1.0
        loss = -(factor * (t * np.log(p + 1e-12) + (1 - t) * np.log(1 - p + 1e-12))).sum() / total

        def gradient() -> Array:
            slope = factor * (p - t) / ((1 - p + 1e-12) * (p + 1e-12)) / total
            return slope.astype(output.dtype)

        return float(loss), gradient


@dataclass(eq=False)
class MultiLabelSoftMarginCriterion(Criterion):
    """Mean binary cross-entropy of sigmoid(output).

    output: (N, C) scores; target: (N, C) in {0, 1}; weights (C,).
    Source: BigDL's MultiLabelSoftMarginCriterion.
    """

    weights: Array | None = None
    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        factor = np.ones(1, output.dtype) if self.weights is None else np.asarray(self.weights, output.dtype)
        total = float(max(output.size, 1)) if self.size_average else 1.0
        losses = np.logaddexp(np.float32(0), output) - target * output
        return float((factor * losses).sum() / total), lambda: factor * (sigmoid(output) - target) / total


@dataclass(eq=False)
class MultiMarginCriterion(Criterion):
    """Mean over samples of sum over other classes of max(0, margin - x[label] + x[i])^p weights[label] / C.

    output: (N, C) or (C,); target: (N,) labels; p is 1 or 2.
    Source: BigDL's MultiMarginCriterion.
    """

    p: int = 1
    weights: Array | None = None
    margin: float = 1.0
    size_average: bool = True

    def __post_init__(self) -> None:
        if self.p not in (1, 2):
            raise ValueError(f"{self.label()}: got p={self.p}, expected 1 or 2")

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        rows, is_single = _rows(output)
        count, classes = rows.shape
        labels, counted = class_rows(target, (count,), classes, self.label())
        index = np.arange(count)
        slack = np.maximum(float(self.margin) - rows[index, labels][:, None] + rows, 0)
        slack[index, labels] = 0
        factor = counted.astype(rows.dtype)
        if self.weights is not None:
            factor = factor * np.asarray(self.weights, rows.dtype)[labels]
        share = (factor / (classes * (max(int(counted.sum()), 1) if self.size_average else 1)))[:, None]

        def gradient() -> Array:
            grad: Array = share * ((slack > 0).astype(rows.dtype) if self.p == 1 else 2 * slack)
            grad[index, labels] = -grad.sum(axis=1)
            return grad[0] if is_single else grad

        return float((share * slack**self.p).sum()), gradient


@dataclass(eq=False)
class MultiLabelMarginCriterion(Criterion):
    """Sum over true classes j and other classes i of max(0, 1 - (x[j] - x[i])) / C, averaged over the batch.

    output: (N, C) or (C,); target: same shape, the true labels of each sample, then zeros.
    Source: BigDL's MultiLabelMarginCriterion.
    """

    size_average: bool = True

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        target = matched(output, target, self.label())
        rows, is_single = _rows(output)
        listed, _ = _rows(target)
        count, classes = rows.shape
        is_right = np.zeros((count, classes), bool)
        for row, labels in zip(is_right, listed.astype(np.int64), strict=True):
            ends = np.flatnonzero(labels == 0)
            right = labels[: ends[0] if len(ends) else None]
            if (wrong := right[(right < 1) | (right > classes)]).size:
                raise ValueError(f"{self.label()}: got label {wrong[0]}, expected 1 to {classes}, then zeros")
            row[right - 1] = True
        slack = np.maximum(1 - rows[:, :, None] + rows[:, None, :], 0) * (is_right[:, :, None] & ~is_right[:, None, :])
        share = 1.0 / (classes * (max(count, 1) if self.size_average else 1))

        def gradient() -> Array:
            active = (slack > 0).astype(rows.dtype) * share
            grad: Array = active.sum(axis=1) - active.sum(axis=2)
            return grad[0] if is_single else grad

        return float(slack.sum() * share), gradient


@dataclass(eq=False)
class ClassSimplexCriterion(Criterion):
    """Mean squared distance to the corner of a regular simplex that stands for the label.

    output: (N, n_classes); target: (N,) labels.
    Source: BigDL's ClassSimplexCriterion.
    """

    n_classes: int

    def __post_init__(self) -> None:
        if self.n_classes < 2:
            raise ValueError(f"{self.label()}: got n_classes={self.n_classes}, expected at least 2")
        self.corners = _simplex(self.n_classes)

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        rows, is_single = _rows(output)
        labels, counted = class_rows(target, rows.shape[:1], self.n_classes, self.label())
        gap = (rows - self.corners[labels].astype(rows.dtype)) * counted[:, None]
        share = 1.0 / (max(int(counted.sum()), 1) * self.n_classes)
        grad = 2 * gap * share
        return float(np.square(gap).sum() * share), lambda: grad[0] if is_single else grad


def _simplex(classes: int) -> NDArray[np.float64]:
    """(classes, classes) unit vectors with equal angles between them, the last column zero."""
    corners = np.zeros((classes, classes))
    for k in range(classes - 1):
        corners[k, k] = np.sqrt(1.0 - np.square(corners[k, :k]).sum())
        following = slice(k + 1, classes)
        inner = corners[following, :k] @ corners[k, :k]
        corners[following, k] = (-1.0 / (classes - 1) - inner) / corners[k, k]
    return corners
