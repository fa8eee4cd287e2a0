"""Checks before and after training, so that a meaningless run says so."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from dlcore.errors import TrainingDivergedError
from dlcore.nn.criterion.classification import ClassNLLCriterion, CrossEntropyCriterion
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module

Required = TypeVar("Required")


def required(value: Any, kind: type[Required], what: str) -> Required:
    """`value`, which must be an object of `kind`."""
    if not isinstance(value, kind):
        hint = f"; make one: {value.__name__}(...)" if isinstance(value, type) else ""
        raise TypeError(f"Optimizer: got {what} {value!r:.80}, expected an object of {kind.__name__}{hint}")
    return value


def require_labels(criterion: Criterion, source: Any) -> None:
    """Refuse 0-based and one-hot labels before the first step; the criterion itself would see them when a label of 0
    comes.

    Raises:
        TypeError: the targets of `source` are no numbers.
        ValueError: the criterion is one of classes, and the targets of `source`, if it has them in an array, begin with
        0.
    """
    targets = getattr(source, "targets", None)
    if isinstance(targets, np.ndarray) and targets.dtype.kind not in "fiub":
        raise TypeError(
            f"Optimizer: got targets of type {targets.dtype}, expected numbers; give each class one, from 1 on"
        )
    is_of_classes = isinstance(criterion, (ClassNLLCriterion, CrossEntropyCriterion))
    if is_of_classes and isinstance(targets, np.ndarray) and _is_one_hot(targets):
        raise ValueError(
            f"Optimizer: got labels {targets.shape} of 0 and 1 for {criterion.label()}, expected one 1-based label a "
            f"record; they look "
            "one-hot: give labels.argmax(1) + 1"
        )
    if is_of_classes and isinstance(targets, np.ndarray) and targets.size and targets.min() == 0:
        raise ValueError(
            f"Optimizer: got labels from 0 to {targets.max():g} for {criterion.label()}, expected 1-based labels; "
            f"they look 0-based: "
            "add 1 to them"
        )


def _is_one_hot(targets: np.ndarray[Any, Any]) -> bool:
    """Whether each record has one 1 among zeros."""
    is_matrix = targets.ndim == 2 and targets.shape[1] > 1 and targets.dtype.kind in "fiub"
    return is_matrix and bool(np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())


def require_finite(model: Module, step: int) -> None:
    """Refuse weights that are no numbers: those of the last step are used in no other, whose loss would tell.

    Raises:
        TrainingDivergedError: one is infinite or not a number.
    """
    for name, parameter in model.named_parameters().items():
        if not np.isfinite(parameter.value).all():
            raise TrainingDivergedError(
                f"{name}: got weights that are infinite or not a number after step {step}; lower the learning rate or "
                f"clip the gradient"
            )
