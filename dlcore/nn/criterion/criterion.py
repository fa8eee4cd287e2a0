"""Criterion: what every loss earns from writing `apply`."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, TypeAlias

import numpy as np

from dlcore.activity import Array, as_activity, describe
from dlcore.nn.init import Shape

Gradient: TypeAlias = Callable[[], Any]


class Criterion:
    """A loss. Subclasses are `@dataclass(eq=False)` and write `apply(output, target) -> (loss, gradient)`.

    `gradient()` gives the gradient of the loss for `output`; it is called at most once. A criterion keeps no parameters.
    """

    registry: ClassVar[dict[str, type["Criterion"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Criterion.registry[cls.__name__] = cls

    def apply(self, output: Any, target: Any) -> tuple[float, Gradient]:
        """The loss and its gradient, as a function to be called when needed. Each criterion defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply")

    def forward(self, output: Any, target: Any) -> float:
        """The loss."""
        return self.apply(as_activity(output), as_activity(target))[0]

    def backward(self, output: Any, target: Any) -> Any:
        """The gradient of the loss for `output`, in the nesting of `output`."""
        return self.apply(as_activity(output), as_activity(target))[1]()

    def label(self) -> str:
        """For messages."""
        return type(self).__name__

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}  # type: ignore[arg-type]


def check_same_shape(output: Array, target: Array, label: str) -> None:
    """Raise ValueError unless output and target have one shape."""
    if output.shape != target.shape:
        raise ValueError(f"{label}: got output {describe(output)} and target {describe(target)}, expected equal shapes")


def class_rows(target: Array, shape: Shape, classes: int, label: str) -> tuple[np.ndarray[Any, Any], Array]:
    """(0-based labels, True where the label counts) of 1-based labels of `shape`; -1 does not count.

    Raises:
        ValueError: another number of labels, or a label outside 1..classes.
    """
    if target.size != int(np.prod(shape)):
        raise ValueError(f"{label}: got target {describe(target)}, expected {shape} labels")
    rows = target.reshape(shape).astype(np.int64)
    counted = rows != -1
    wrong = counted & ((rows < 1) | (rows > classes))
    if wrong.any():
        raise ValueError(
            f"{label}: got label {rows[wrong][0]}, expected 1 to {classes}; labels are 1-based (add 1 to 0-based labels)"
        )
    return np.where(counted, rows - 1, 0), counted
