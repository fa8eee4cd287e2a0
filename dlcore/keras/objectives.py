"""Optimisation methods, losses and metrics by the names that `compile` takes. Class labels are 0-based here, as in
Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, leaves, map_leaves
from dlcore.keras.named import one_of
from dlcore.nn import criterion as criterions
from dlcore.nn.criterion.classification import CategoricalCrossEntropy, ClassNLLCriterion, CrossEntropyCriterion
from dlcore.nn.criterion.criterion import Criterion, Gradient
from dlcore.nn.shapes import ActivityShape
from dlcore.optim.adaptive import Adadelta, Adagrad, Adam, Adamax, RMSprop
from dlcore.optim.method import SGD, OptimMethod
from dlcore.optim.metric import MAE, Loss, MeanTally, Tally, Top1Accuracy, Top5Accuracy, ValidationMethod


@dataclass(eq=False)
class SparseCategoricalCrossEntropy(Criterion):
    """Mean of -log(output at the label / sum of output). output: (N, ..., C) probabilities; target: (N, ...) 0-based
    labels.

    Source: Keras's sparse_categorical_crossentropy.

    Raises:
        ValueError: another number of labels, or a label outside 0..C - 1.
    """

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        classes, labels = output.shape[-1], target.reshape(-1).astype(np.int64)
        if labels.size * classes != output.size:
            raise ValueError(f"{self.label()}: got target {target.shape}, expected {output.shape[:-1]} labels")
        wrong = labels[(labels < 0) | (labels >= classes)]
        if wrong.size:
            raise ValueError(
                f"{self.label()}: got label {wrong[0]}, expected 0 to {classes - 1}; labels are 0-based (subtract 1 "
                f"from BigDL's)"
            )
        wanted = np.eye(classes, dtype=output.dtype)[labels].reshape(output.shape)
        return CategoricalCrossEntropyOfRows().apply(output, wanted)


@dataclass(eq=False)
class CategoricalCrossEntropyOfRows(Criterion):
    """CategoricalCrossEntropy over all but the last dimension. output, target: (N, ..., C)."""

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        if output.shape != target.shape:
            raise ValueError(
                f"{self.label()}: got output {output.shape} and target {target.shape}, expected one-hot targets of "
                f"the output's "
                "shape; for labels take sparse_categorical_crossentropy"
            )
        classes = output.shape[-1]
        loss, gradient = CategoricalCrossEntropy().apply(output.reshape(-1, classes), target.reshape(-1, classes))
        return loss, lambda: gradient().reshape(output.shape)


@dataclass(eq=False)
class Weighted(Criterion):
    """The sum over records of weight * `inner` of the record, divided by the number of weights that are not 0.

    `inner` must be a mean over records. target: [its target, weights (N,)]. Source: Keras's weighted objectives.
    """

    inner: Criterion

    def apply(self, output: Any, target: list[Any]) -> tuple[float, Gradient]:
        wanted, weights = target
        count = max(int(np.count_nonzero(weights)), 1)
        parts = []
        for weight in np.unique(
            weights[weights != 0]
        ):  # records of one weight together: a criterion gives no single losses
            rows = np.flatnonzero(weights == weight)
            share = float(weight) * len(rows) / count
            parts.append((rows, share, *self.inner.apply(rows_of(output, rows), rows_of(wanted, rows))))

        def gradient() -> Activity:
            full = map_leaves(np.zeros_like, output)
            for rows, share, _, of_part in parts:
                for leaf, grad in zip(leaves(full), leaves(of_part()), strict=True):
                    leaf[rows] = grad * leaf.dtype.type(share)
            return full

        return float(sum(share * loss for _, share, loss, _ in parts)), gradient


def rows_of(x: Activity, rows: Any) -> Activity:
    """These records of each array of `x`; `rows` is a slice or numbers."""
    return map_leaves(lambda leaf: leaf[rows], x)


@dataclass
class ClassAccuracy(ValidationMethod):
    """Another method's result on 0-based labels (N, ...), or on one-hot targets (N, ..., C)."""

    method: ValidationMethod
    is_one_hot: bool = False

    def __call__(self, output: Array, target: Array) -> Tally:
        labels = target.argmax(axis=-1) if self.is_one_hot else target
        tally: Tally = self.method(output, labels + 1)
        return tally


@dataclass
class BinaryAccuracy(ValidationMethod):
    """The share of elements on the same side of 0.5 as their target. output, target: any shape."""

    def __call__(self, output: Array, target: Array) -> MeanTally:
        hits = (output > 0.5) == (target.reshape(output.shape) > 0.5)
        return MeanTally(float(hits.mean()) * len(output) if hits.size else 0.0, len(output), self.name())


@dataclass
class OfOutput(ValidationMethod):
    """Another method's result on the output at `position` (0-based) of several, and its target."""

    position: int
    method: ValidationMethod

    def __call__(self, output: list[Any], target: list[Any]) -> Tally:
        return self.method(output[self.position], target[self.position])


OPTIMIZERS: dict[str, Callable[[], OptimMethod]] = {
    "adadelta": lambda: Adadelta(decayrate=0.95, epsilon=1e-8),
    "adagrad": lambda: Adagrad(learningrate=0.01),
    "adam": Adam,
    "adamax": lambda: Adamax(epsilon=1e-8),
    "rmsprop": lambda: RMSprop(learningrate=0.001, decayrate=0.9),
    "sgd": lambda: SGD(learningrate=0.01),
}
"""Optimisation method by name, with BigDL's settings for it."""

LOSSES: dict[str, Callable[[], Criterion]] = {
    "binary_crossentropy": criterions.BCECriterion,
    "categorical_crossentropy": CategoricalCrossEntropyOfRows,
    "cosine_proximity": criterions.CosineProximityCriterion,
    "hinge": criterions.MarginCriterion,
    "kullback_leibler_divergence": criterions.KullbackLeiblerDivergenceCriterion,
    "mean_absolute_error": criterions.AbsCriterion,
    "mean_absolute_percentage_error": criterions.MeanAbsolutePercentageCriterion,
    "mean_squared_error": criterions.MSECriterion,
    "mean_squared_logarithmic_error": criterions.MeanSquaredLogarithmicCriterion,
    "poisson": criterions.PoissonCriterion,
    "sparse_categorical_crossentropy": SparseCategoricalCrossEntropy,
    "squared_hinge": lambda: criterions.MarginCriterion(squared=True),
}
"""Loss by name."""

SHORT = {
    "acc": "accuracy",
    "cosine": "cosine_proximity",
    "kld": "kullback_leibler_divergence",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
}
"""Short names of losses and metrics."""


def method_of(optimizer: str | OptimMethod) -> OptimMethod:
    """The optimisation method of a name; a method is itself."""
    return optimizer if isinstance(optimizer, OptimMethod) else one_of(OPTIMIZERS, optimizer, "optimizer")()


def loss_of(loss: Any, outputs: int = 1) -> Criterion:
    """The criterion of a name; a criterion is itself, with the labels that it wants: BigDL's are 1-based.

    A list of them, one for each of several outputs, is their sum; a single name counts for each.

    Raises:
        ValueError: an unknown name, or another number of losses than `outputs`.
    """
    if isinstance(loss, str) and outputs > 1:
        loss = [loss] * outputs
    if isinstance(loss, (list, tuple)):
        if len(loss) != outputs:
            raise ValueError(f"got {len(loss)} losses for {outputs} outputs, expected one for each")
        if outputs == 1:
            return loss_of(loss[0])
        whole = criterions.ParallelCriterion()
        for each in loss:
            whole.add(loss_of(each))
        return whole
    return loss if isinstance(loss, Criterion) else one_of(LOSSES, _full(loss), "loss")()


def metrics_of(metrics: Any, loss: Criterion, outputs: Mapping[str, ActivityShape]) -> dict[str, ValidationMethod]:
    """Name -> method of what `compile` was given; `outputs` is the shape of each output, by what its metrics' names
    begin with.

    "accuracy" is of the labels that the loss takes. Methods are themselves: BigDL's take 1-based labels.
    """
    is_each = isinstance(loss, criterions.ParallelCriterion)
    losses = [part for part, _ in loss.criterions] if is_each else [loss] * len(outputs)  # type: ignore[attr-defined]
    given = [] if metrics is None else metrics if isinstance(metrics, (list, tuple)) else [metrics]
    found: dict[str, ValidationMethod] = {}
    for metric in given:
        if isinstance(metric, ValidationMethod):
            found[metric.name()] = metric
            continue
        for place, (name, shape) in enumerate(outputs.items()):
            method = one_of(_metrics(losses[place], shape[-1]), _full(metric), "metric")
            found[f"{name}{metric}"] = method if len(outputs) == 1 else OfOutput(place, method)
    return found


def _full(name: Any) -> Any:
    return SHORT.get(name.lower(), name) if isinstance(name, str) else name


def _metrics(loss: Criterion, outputs: Any) -> Mapping[str, ValidationMethod]:
    of_classes = _by_label(loss)
    is_binary = isinstance(loss, criterions.BCECriterion) or outputs == 1
    return {
        "accuracy": BinaryAccuracy() if is_binary else of_classes(Top1Accuracy()),
        "top5accuracy": of_classes(Top5Accuracy()),
        "mean_absolute_error": MAE(),
        **{name: Loss(make()) for name, make in LOSSES.items() if name != "mean_absolute_error"},
    }


def _by_label(loss: Criterion) -> Callable[[ValidationMethod], ValidationMethod]:
    """What makes a method of 1-based labels one of the labels that `loss` takes."""
    if isinstance(loss, (ClassNLLCriterion, CrossEntropyCriterion)):
        return lambda method: method
    is_one_hot = not isinstance(loss, SparseCategoricalCrossEntropy)
    return lambda method: ClassAccuracy(method, is_one_hot)
