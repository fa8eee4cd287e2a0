"""Methods and metrics by name, as programs for BigDL 0.1 call them: "SGD" with a dictionary of settings,
"Top1Accuracy", "top1"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from dlcore.optim.adaptive import Adadelta, Adagrad, Adam, Adamax, Ftrl, ParallelAdam, RMSprop
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.method import SGD, OptimMethod
from dlcore.optim.metric import MAE, Loss, Top1Accuracy, Top5Accuracy, TreeNNAccuracy, ValidationMethod
from dlcore.surface import suggestion

METHODS: dict[str, type[OptimMethod]] = {
    kind.__name__.lower(): kind for kind in (SGD, Adam, ParallelAdam, Adamax, Adagrad, Adadelta, RMSprop, Ftrl, LBFGS)
}
METRICS: dict[str, type[ValidationMethod]] = {
    "top1accuracy": Top1Accuracy, "top1": Top1Accuracy, "top5accuracy": Top5Accuracy, "top5": Top5Accuracy,
    "loss": Loss, "mae": MAE, "treennaccuracy": TreeNNAccuracy,
}  # fmt: skip
BATCH_SIZE = "batchSize"
"""The one setting of a state that is not the method's."""


def method_of(name: str, state: Mapping[str, Any]) -> OptimMethod:
    """The method of this name, with the settings of `state` in BigDL 0.1's spelling: {"learningRate": 0.01, "momentum":
    0.9}.

    Raises:
        ValueError: an unknown name or setting.
    """
    kind = _found(METHODS, name, "optimisation method")
    known = {_plain(field.name): field.name for field in fields(kind) if field.init}
    arguments = {}
    for setting, value in state.items():
        if _plain(setting) not in known:
            raise ValueError(f"{kind.__name__}: got state {setting!r}, expected one of {sorted(known.values())}")
        arguments[known[_plain(setting)]] = value
    made: OptimMethod = kind(**arguments)
    return made


def with_state(method: Any, state: Mapping[str, Any] | None, batch_size: int) -> tuple[Any, int]:
    """The method, made if it is given by name or by its settings alone, and the batch size, which the settings may say.

    Raises:
        TypeError: a method that is made already comes together with settings; a batch size that is no whole number.
        ValueError: an unknown name or setting.
    """
    settings = dict(state or {})
    size = settings.pop(BATCH_SIZE, batch_size)
    if not isinstance(size, (int, float, np.number)) or size != int(size):
        raise TypeError(f"Optimizer: got batch_size {size!r:.80}, expected a whole number")
    size = int(size)
    if isinstance(method, str) or (method is None and settings):
        return method_of(method or "SGD", settings), size
    if settings:
        raise TypeError(
            f"got state {sorted(settings)} with {method!r}, expected a method's name, such as 'SGD', or no state"
        )
    return method, size


def metrics_of(given: Sequence[ValidationMethod | str] | ValidationMethod | str | None) -> list[ValidationMethod]:
    """Validation methods, those that are given by name made.

    Raises:
        ValueError: an unknown name.
        TypeError: something else.
    """
    each = [given] if isinstance(given, (str, ValidationMethod)) else list(given or ())
    found = [_found(METRICS, one, "validation method")() if isinstance(one, str) else one for one in each]
    for one in found:
        if not isinstance(one, ValidationMethod):
            raise TypeError(f"got validation method {one!r}, expected an object such as Top1Accuracy()")
    return found


def _plain(name: str) -> str:
    """Names that differ in case and underlines alone, or in BigDL's misspelling, are one."""
    return name.replace("_", "").lower().replace("leaningrate", "learningrate")


def _found(table: Mapping[str, Any], name: str, what: str) -> Any:
    kind = table.get(name.lower())
    if kind is None:
        names = sorted({each.__name__ for each in table.values()})
        raise ValueError(f"got {what} {name!r}, expected one of {', '.join(names)}{suggestion(name, names)}")
    return kind
