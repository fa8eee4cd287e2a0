"""Criterion: what every loss earns from writing `apply`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, TypeAlias

import numpy as np

from dlcore.activity import Array, as_activity, describe, float_type
from dlcore.nn.init import Shape
from dlcore.number_type import FLOATS, Typed
from dlcore.registry import Registry

Gradient: TypeAlias = Callable[[], Any]


class Criterion(Typed):
    """A loss. Subclasses are `@dataclass(eq=False)` and write `apply(output, target) -> (loss, gradient)`.

    `gradient()` gives the gradient of the loss for `output`; it is called at most once. A criterion keeps no
    parameters.
    """

    registry: ClassVar[Registry[type[Criterion]]] = Registry("nn")

    def __init_subclass__(cls, namespace: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        Criterion.registry.add(cls, namespace)

    def apply(self, output: Any, target: Any) -> tuple[float, Gradient]:
        """The loss and its gradient, as a function to be called when needed. Each criterion defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply")

    def forward(self, output: Any, target: Any) -> float:
        """The loss."""
        return self._applied(output, target)[0]

    def backward(self, output: Any, target: Any) -> Any:
        """The gradient of the loss for `output`, in the nesting of `output`."""
        return self._applied(output, target)[1]()

    def _applied(self, output: Any, target: Any) -> tuple[float, Gradient]:
        """`apply` in the floating-point type of the output, or in float64 if this is of doubles."""
        kind = np.promote_types(float_type(as_activity(output)), FLOATS[self.bigdl_type])
        return self.apply(as_activity(output, kind), as_activity(target, kind))

    def label(self) -> str:
        """For messages."""
        return type(self).__name__

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without `bigdl_type`."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != "bigdl_type"}


def matched(output: Array, target: Array, label: str) -> Array:
    """The target in the shape of the output; numbers (N,) go with (N, 1).

    Raises:
        ValueError: they are of different shapes otherwise.
    """
    if not isinstance(output, list) and not isinstance(target, list):
        if output.shape == target.shape:
            return target
        column = (len(output), 1) if output.ndim else ()
        if column in (output.shape, target.shape) and column[:1] in (output.shape, target.shape):
            return target.reshape(output.shape)
    raise ValueError(
        f"{label}: got output {describe(output)} and target {describe(target)}, expected two arrays of equal shapes"
    )


def class_rows(target: Array, shape: Shape, classes: int, label: str) -> tuple[np.ndarray[Any, Any], Array]:
    """(0-based labels, True where the label counts) of 1-based labels of `shape`; -1 does not count.

    Raises:
        ValueError: another number of labels, or a label outside 1..classes or no whole number.
    """
    if target.size != int(np.prod(shape)):
        raise ValueError(f"{label}: got target {describe(target)}, expected {shape} labels")
    given = target.reshape(shape)
    rows = given.astype(np.int64)
    if (rows != given).any():
        raise ValueError(f"{label}: got label {given[rows != given][0]}, expected whole numbers from 1 to {classes}")
    counted = rows != -1
    wrong = counted & ((rows < 1) | (rows > classes))
    if wrong.any():
        raise ValueError(
            f"{label}: got label {rows[wrong][0]}, expected 1 to {classes}; labels are 1-based (add 1 to 0-based "
            f"labels)"
        )
    return np.where(counted, rows - 1, 0), counted
