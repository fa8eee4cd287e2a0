"""Layers that take vectors, and those that rearrange."""

from __future__ import annotations

from math import prod
from typing import Any, Protocol

from dlcore.keras.construction import KerasLayer, KerasNode, as_shape, batched, keras_layer
from dlcore.keras.named import Regularizer, activation_of, chain, start, start_weights
from dlcore.nn.container import Bottle
from dlcore.nn.init import ConstInitMethod
from dlcore.nn.layers import linear, shape
from dlcore.nn.layers.embedding import LookupTable
from dlcore.nn.layers.linear import Linear
from dlcore.nn.layers.pointwise import AddConstant
from dlcore.nn.layers.shape import Identity, InferReshape, Replicate, Transpose
from dlcore.nn.module import Module

__all__ = [
    "Activation",
    "Dense",
    "Embedding",
    "Flatten",
    "Highway",
    "Input",
    "InputLayer",
    "Masking",
    "MaxoutDense",
    "Permute",
    "RepeatVector",
    "Reshape",
]

Shape = tuple[int | None, ...]


class _Named(Protocol):
    def label(self) -> str: ...


def known(layer: _Named, shape: Shape) -> tuple[int, ...]:
    """The sizes of `shape`.

    Raises:
        ValueError: one is unknown.
    """
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) != len(shape):
        raise ValueError(f"{layer.label()}: got input shape {shape}, expected all sizes to be known")
    return sizes


def width(layer: _Named, shape: Shape, axis: int = -1) -> int:
    """The size of `shape` at `axis`, which must be known."""
    return known(layer, (shape[axis],))[0]


@keras_layer
class InputLayer(KerasLayer):
    """The start of a model: its input as it is. x: (N, *input_shape) -> same shape. Source: BigDL's and Keras's
    InputLayer."""

    def compose(self, shape: Shape) -> Module:
        return Identity()


def Input(shape: Any = None, name: str | None = None) -> KerasNode:
    """A node that takes an input of `shape`, without the batch. Source: BigDL's and Keras's Input.

    Raises:
        ValueError: no shape.
    """
    if shape is None:
        raise ValueError("Input: got no shape, expected one, such as shape=(3, 32, 32), without the batch")
    layer = InputLayer(input_shape=shape)
    if name is not None:
        layer.set_name(name)
    return KerasNode(layer, [], batched(as_shape(shape)))


@keras_layer
class Dense(KerasLayer):
    """activation(x W^T + b) over the last dimension.

    x: (N, ..., F) -> (N, ..., output_dim); weight (output_dim, F), bias 0 at first.
    Source: BigDL's and Keras's Dense.
    """

    output_dim: int
    init: str = "glorot_uniform"
    activation: str | Module | None = None
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True
    input_dim: int | None = None

    def compose(self, shape: Shape) -> Module:
        inner = start_weights(self, Linear(width(self, shape), self.output_dim, self.bias))
        rows = inner if len(shape) == 1 else Bottle(inner)
        return chain(rows, activation_of(self.activation, len(shape)))


@keras_layer
class MaxoutDense(KerasLayer):
    """The largest of `nb_feature` linear functions for each output.

    x: (N, F) -> (N, output_dim); weight (nb_feature * output_dim, F), the outputs running fastest.
    Source: BigDL's and Keras's MaxoutDense; Goodfellow et al. 2013.
    """

    rank = 1
    output_dim: int
    nb_feature: int = 4
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True
    input_dim: int | None = None

    def compose(self, shape: Shape) -> Module:
        module = linear.Maxout(width(self, shape), self.output_dim, self.nb_feature, self.bias)
        start_weights(self, module.inner)
        return module


@keras_layer
class Highway(KerasLayer):
    """t activation(x W^T + b) + (1 - t) x with t = sigmoid(x V^T + c).

    x: (N, F) -> same shape; c is -2 at first, so that the input passes, as in Keras.
    Source: BigDL's and Keras's Highway; Srivastava et al. 2015.
    """

    rank = 1
    activation: str | Module | None = None
    W_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    bias: bool = True
    input_dim: int | None = None

    def compose(self, shape: Shape) -> Module:
        module = linear.Highway(width(self, shape), self.bias, activation_of(self.activation, 1))
        for inner in (module.gate, module.transform):
            start_weights(self, inner)
        if module.gate.bias is not None:
            module.gate.bias.init = ConstInitMethod(-2.0)
            module.gate.bias.reset()
        return module


@keras_layer
class Embedding(KerasLayer):
    """The rows of weight at 0-based numbers.

    x: (N, T) of 0 .. input_dim - 1 -> (N, T, output_dim); weight (input_dim, output_dim). `input_length` may stand for
    input_shape=(T,).
    Source: BigDL's and Keras's Embedding.
    """

    input_dim: int
    output_dim: int
    init: str = "uniform"
    W_regularizer: Regularizer | None = None

    def declared_shape(self) -> Any:
        return None

    def compose(self, shape: Shape) -> Module:
        table = LookupTable(self.input_dim, self.output_dim)
        start(table.weight, self.init, self.W_regularizer)
        return chain(AddConstant(1), table)


@keras_layer
class Flatten(KerasLayer):
    """Each sample as one row, its last dimension running fastest. x: (N, ...) -> (N, F). Source: BigDL's and Keras's
    Flatten."""

    def compose(self, shape: Shape) -> Module:
        return _reshaped(shape, (-1,))


@keras_layer
class Reshape(KerasLayer):
    """Each sample in the shape `target_shape`, of which one size may be -1.

    x: (N, ...) -> (N, *target_shape).
    Source: BigDL's and Keras's Reshape.

    Raises:
        ValueError: another number of elements.
    """

    target_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self.target_shape = tuple(self.target_shape)
        super().__post_init__()

    def compose(self, shape: Shape) -> Module:
        return _reshaped(shape, self.target_shape)


def _reshaped(source: Shape, target: tuple[int, ...]) -> Module:
    """A reshape of samples of `source`; the size -1 is computed where all others are known."""
    if None in source:
        return InferReshape(list(target), batch_mode=True)
    rest = prod(size for size in source if size is not None) // max(prod(size for size in target if size != -1), 1)
    return shape.Reshape([rest if size == -1 else size for size in target], batch_mode=True)


@keras_layer
class Activation(KerasLayer):
    """An activation by name, such as "relu". x: any shape -> same shape. Source: BigDL's and Keras's Activation."""

    activation: str | Module

    def compose(self, shape: Shape) -> Module:
        return activation_of(self.activation, len(shape)) or Identity()


@keras_layer
class RepeatVector(KerasLayer):
    """The row `n` times. x: (N, F) -> (N, n, F). Source: BigDL's and Keras's RepeatVector."""

    rank = 1
    n: int
    input_dim: int | None = None

    def compose(self, shape: Shape) -> Module:
        return Replicate(self.n, 1, 1)


@keras_layer
class Permute(KerasLayer):
    """The dimensions in another order, 1-based and without the batch: (2, 1) swaps the two of (N, A, B).

    x: (N, ...) -> (N, ...). Source: BigDL's and Keras's Permute.

    Raises:
        ValueError: `dims` is no order of the input's dimensions.
    """

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        self.dims = tuple(self.dims)
        super().__post_init__()

    def compose(self, shape: Shape) -> Module:
        if sorted(self.dims) != list(range(1, len(shape) + 1)):
            raise ValueError(f"{self.label()}: got dims {self.dims}, expected an order of 1 to {len(shape)}")
        return Transpose(swaps((0, *self.dims)))


def swaps(order: tuple[int, ...]) -> list[tuple[int, int]]:
    """The pairs of 1-based dimensions to swap, one after the other, that bring dimension order[i] (0-based) to place i.

    Example:
        >>> swaps((0, 2, 3, 1))
        [(2, 3), (3, 4)]
    """
    present, pairs = list(range(len(order))), []
    for place, wanted in enumerate(order):
        found = present.index(wanted)
        if found != place:
            present[place], present[found] = present[found], present[place]
            pairs.append((place + 1, found + 1))
    return pairs


@keras_layer
class Masking(KerasLayer):
    """Zero the steps whose values all equal `mask_value`: later layers see zeros, they do not skip them.

    x: (N, T, ...) -> same shape. Source: BigDL's Masking.
    """

    mask_value: float = 0.0

    def compose(self, given: Shape) -> Module:
        return shape.Masking(self.mask_value)
