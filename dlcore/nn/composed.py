"""A module that is another one, made for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dlcore.activity import Pullback
from dlcore.nn.module import Module
from dlcore.nn.shapes import ActivityShape, shape_within


@dataclass(eq=False)
class Composed(Module):
    """Computes what its `body` computes, which subclasses put together; plans look inside.

    x: what the body takes -> what it gives.
    """

    body: Module | None = field(default=None, init=False, repr=False)

    def built(self) -> Module:
        """The body.

        Raises:
            ValueError: there is none yet.
        """
        if self.body is None:
            raise ValueError(f"{self.label()}: got no body, expected one; build the layer first")
        return self.body

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        return self.built().apply(x)

    def apply_with_relu(self, x: Any) -> tuple[Any, Pullback]:
        return self.built().apply_with_relu(x)

    def outline(self, x: Any) -> Any:
        return self.built().outline(x)

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return shape_within("body", self.built(), input_shape)
