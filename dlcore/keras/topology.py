"""Models in Keras's style: a chain of layers, or a graph of them."""

from __future__ import annotations

from typing import Any

from dlcore.keras.construction import KerasLayer, unbatched
from dlcore.keras.training import KerasModel
from dlcore.nn import container, graph
from dlcore.nn.module import Module
from dlcore.nn.node import Node
from dlcore.nn.shapes import ActivityShape

__all__ = ["Model", "Sequential"]


class Sequential(KerasModel, container.Sequential):
    """One layer after the other; the first one says the `input_shape`, the others are built as they are added.

    x: (N, *input_shape) -> what the last layer gives. Source: BigDL's and Keras's Sequential.

    Example:
        >>> from dlcore.keras.layer import Dense
        >>> model = Sequential()
        >>> model.add(Dense(4, activation="relu", input_shape=(3,))).add(Dense(2)).get_output_shape()
        (None, 2)
    """

    def __init__(self, jvalue: Any = None, name: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._input_shape: ActivityShape | None = None
        self._output_shape: ActivityShape | None = None
        if name is not None:
            self.set_name(name)

    def add(self, model: Module) -> Sequential:
        """Append a layer of Keras's or nn's, or a model, and build it.

        Raises:
            ValueError: it is the first one and does not say what it takes; or it cannot take what the one before it
            gives.
        """
        taken = self._output_shape
        if isinstance(model, KerasLayer) and taken is not None:
            model.build(unbatched(taken))
        if taken is None:
            if not isinstance(model, (KerasLayer, KerasModel)):
                raise ValueError(
                    f"{self.label()}: got {type(model).__name__} as its first layer, expected one that knows what it "
                    f"takes; "
                    "begin with InputLayer(input_shape=...)"
                )
            taken = self._input_shape = model.get_input_shape()
        given = model.output_shape(taken)
        super().add(model)
        self._output_shape = given
        return self

    def get_input_shape(self) -> ActivityShape:
        if self._input_shape is None:
            raise ValueError(f"{self.label()}: got no layers, expected one; add it first")
        return self._input_shape


class Model(KerasModel, graph.Graph):
    """A graph of layers, from `Input` nodes to outputs.

    x: the input, or a table of one for each Input -> the output, or a table of them. Source: BigDL's and Keras's Model.

    Example:
        >>> from dlcore.keras.layer import Dense, Input
        >>> x = Input(shape=(3,))
        >>> Model(x, Dense(2)(Dense(4, activation="relu")(x))).get_output_shape()
        (None, 2)
    """

    def __init__(self, input: Any, output: Any, jvalue: Any = None, name: str | None = None, **options: Any) -> None:
        super().__init__(input, output, **options)
        if name is not None:
            self.set_name(name)

    def get_input_shape(self) -> ActivityShape:
        shapes = [_input_shape(node) for node in self.inputs]
        return shapes[0] if len(shapes) == 1 else shapes


def _input_shape(node: Node) -> ActivityShape:
    if not isinstance(node.module, KerasLayer):
        raise ValueError(f"Model: got {node!r} as an input, expected one made by Input(shape=...)")
    return node.module.get_input_shape()
