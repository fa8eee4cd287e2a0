"""Classic layers and models in models of Keras's style."""

from __future__ import annotations

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.nn.module import Module
from dlcore.nn.shapes import ActivityShape

__all__ = ["KerasLayerWrapper", "to_keras"]


@keras_layer
class KerasLayerWrapper(KerasLayer):
    """A classic layer or model as a Keras layer. x: what the layer takes -> what it gives. Source: Analytics Zoo's
    KerasLayerWrapper."""

    torch_layer: Module

    def compose(self, shape: ActivityShape) -> Module:
        return self.torch_layer


def to_keras(module: Module) -> KerasLayerWrapper:
    """`module` as a Keras layer: it can be called on Keras's nodes, and added to Keras's models. It keeps its weights
    and its name.

    Source: Analytics Zoo's to_keras.

    Example:
        >>> from dlcore.keras.layer import Dense, Input
        >>> from dlcore.keras.topology import Model
        >>> from dlcore.nn.layer import Linear
        >>> x = Input(shape=(3,))
        >>> Model(x, Dense(2)(to_keras(Linear(3, 5))(x))).predict(np.ones((4, 3))).shape
        (4, 2)
    """
    wrapped = KerasLayerWrapper(module)
    return wrapped if module._name is None else wrapped.set_name(f"{module._name}_keras")
