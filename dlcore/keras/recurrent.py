"""Recurrent layers, and layers applied to each step. x is (N, T, ...)."""

from __future__ import annotations

from typing import Any

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape, swaps, width
from dlcore.keras.merging import joining
from dlcore.keras.named import Regularizer, activation_of, chain, start
from dlcore.keras.planes import is_last, padding
from dlcore.nn import container
from dlcore.nn.layers import cells, long_short_term
from dlcore.nn.layers.cells import Cell
from dlcore.nn.layers.convolutional_cells import ConvLSTMPeephole
from dlcore.nn.layers.recurrent import Recurrent
from dlcore.nn.layers.shape import Identity, Reverse, Select, Transpose
from dlcore.nn.layout import SAME
from dlcore.nn.module import Module

__all__ = ["GRU", "LSTM", "Bidirectional", "ConvLSTM2D", "SimpleRNN", "TimeDistributed"]

_TIME = 2


class _Recurrent(KerasLayer):
    """A cell over the steps, the last one first with go_backwards; all its outputs, in that order, with
    return_sequences."""

    rank = 2
    return_sequences: bool
    go_backwards: bool
    W_regularizer: Regularizer | None
    U_regularizer: Regularizer | None
    b_regularizer: Regularizer | None

    def cell(self, shape: Shape) -> Cell:
        """The cell for inputs of `shape`. Each layer defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define cell")

    def compose(self, shape: Shape) -> Module:
        order = Reverse(_TIME) if self.go_backwards else None
        last = None if self.return_sequences else Select(_TIME, -1)
        return chain(order, Recurrent().add(self.cell(shape)), last)

    def started(self, cell: Any, hidden: tuple[str, ...]) -> Any:
        """`cell` with Keras's initialisations: Glorot's for what the input meets, orthogonal for what the output before
        meets."""
        cell.input.weight.fan_out = cell.hidden_size
        start(cell.input.weight, "glorot_uniform", self.W_regularizer)
        start(cell.input.bias, "zero", self.b_regularizer)
        for name in hidden:
            start(getattr(cell, name).weight, "orthogonal", self.U_regularizer)
        return cell


@keras_layer
class SimpleRNN(_Recurrent):
    """h' = activation(W x + b + U h).

    x: (N, T, F) -> (N, output_dim), or (N, T, output_dim) with return_sequences. Source: BigDL's and Keras's SimpleRNN.
    """

    output_dim: int
    activation: str | Module | None = "tanh"
    return_sequences: bool = False
    go_backwards: bool = False
    W_regularizer: Regularizer | None = None
    U_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None

    def cell(self, shape: Shape) -> Cell:
        activation = activation_of(self.activation, 1) or Identity()
        cell = cells.RnnCell(width(self, shape), self.output_dim, activation, isHiddenWithBias=False)
        return self.started(cell, ("hidden",))  # type: ignore[no-any-return]


@keras_layer
class _Gated(_Recurrent):
    output_dim: int
    activation: str | Module | None = "tanh"
    inner_activation: str | Module | None = "hard_sigmoid"
    return_sequences: bool = False
    go_backwards: bool = False
    W_regularizer: Regularizer | None = None
    U_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None


@keras_layer
class LSTM(_Gated):
    """Long short-term memory; see nn's LSTM. The bias of the forget gate is 1 at first, as in Keras.

    x: (N, T, F) -> (N, output_dim), or (N, T, output_dim) with return_sequences.
    Source: BigDL's and Keras's LSTM; Hochreiter and Schmidhuber 1997.
    """

    def cell(self, shape: Shape) -> Cell:
        cell = long_short_term.LSTM(width(self, shape), self.output_dim, 0.0, *_activations(self))
        self.started(cell, ("hidden",))
        if cell.input.bias is not None:
            cell.input.bias.value.reshape(4, -1)[2] = 1.0  # the gates are in the order i, g, f, o
        return cell


@keras_layer
class GRU(_Gated):
    """Gated recurrent unit; see nn's GRU.

    x: (N, T, F) -> (N, output_dim), or (N, T, output_dim) with return_sequences.
    Source: BigDL's and Keras's GRU; Cho et al. 2014.
    """

    def cell(self, shape: Shape) -> Cell:
        cell = cells.GRU(width(self, shape), self.output_dim, 0.0, *_activations(self))
        return self.started(cell, ("hidden", "candidate"))  # type: ignore[no-any-return]


def _activations(layer: Any) -> tuple[Module, Module]:
    """(activation, inner activation); None is the identity, as everywhere in Keras."""
    return activation_of(layer.activation, 1) or Identity(), activation_of(layer.inner_activation, 1) or Identity()


@keras_layer
class ConvLSTM2D(_Recurrent):
    """LSTM of images whose products are convolutions that keep the size.

    x: (N, T, C, H, W) -> (N, nb_filter, H, W), or (N, T, nb_filter, H, W) with return_sequences; the planes last for
    'tf'.
    Source: BigDL's and Keras's ConvLSTM2D; Shi et al. 2015.

    Raises:
        ValueError: a kernel that is not square, a stride above 1, or border_mode is not 'same': as in BigDL.
    """

    rank = 4
    nb_filter: int
    nb_row: int
    nb_col: int
    activation: str | Module | None = "tanh"
    inner_activation: str | Module | None = "hard_sigmoid"
    dim_ordering: str = "th"
    border_mode: str = "same"
    subsample: tuple[int, int] = (1, 1)
    W_regularizer: Regularizer | None = None
    U_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    return_sequences: bool = False
    go_backwards: bool = False

    def compose(self, shape: Shape) -> Module:
        body = super().compose(shape)
        if not is_last(self):
            return body
        back = swaps((0, 1, 3, 4, 2)) if self.return_sequences else swaps((0, 2, 3, 1))
        return chain(Transpose(swaps((0, 1, 4, 2, 3))), body, Transpose(back))

    def cell(self, shape: Shape) -> Cell:
        if self.nb_row != self.nb_col or tuple(self.subsample) != (1, 1) or padding(self) != SAME:
            raise ValueError(
                f"{self.label()}: got kernel {self.nb_row} x {self.nb_col}, subsample {self.subsample} and border_mode "
                f"{self.border_mode!r}, expected a square kernel, (1, 1) and 'same'"
            )
        planes = width(self, shape, -1 if is_last(self) else 1)
        cell = ConvLSTMPeephole(planes, self.nb_filter, self.nb_row, self.nb_row, with_peephole=False)
        cell.activation, cell.inner_activation = _activations(self)
        for gate in cell.gates().values():
            of_input, of_output = gate.modules
            start(of_input.weight, "glorot_uniform", self.W_regularizer)
            start(of_input.bias, "zero", self.b_regularizer)
            start(of_output.weight, "glorot_uniform", self.U_regularizer)
        return cell


@keras_layer
class TimeDistributed(KerasLayer):
    """A layer at each step. x: (N, T, ...) -> (N, T, ...). Source: BigDL's and Keras's TimeDistributed."""

    layer: Module

    def compose(self, shape: Shape) -> Module:
        if isinstance(self.layer, KerasLayer):
            self.layer.build(shape[1:])
        return container.TimeDistributed(self.layer)


@keras_layer
class Bidirectional(KerasLayer):
    """A recurrent layer from the first step on and another one, of the same arguments, from the last step back.

    x: (N, T, ...) -> what the layer gives, both ways merged: "concat" along the last dimension, "sum", "mul" or "ave".
    Outputs of all steps are merged step by step.
    Source: BigDL's and Keras's Bidirectional; Schuster and Paliwal 1997.

    Raises:
        TypeError: `layer` is no recurrent layer.
        ValueError: another merge_mode.
    """

    layer: Module
    merge_mode: str = "concat"

    def __post_init__(self) -> None:
        if not isinstance(self.layer, _Recurrent):
            raise TypeError(
                f"{self.label()}: got {type(self.layer).__name__}, expected a recurrent layer, such as LSTM(8)"
            )
        super().__post_init__()

    def declared_shape(self) -> Any:
        return self.layer.input_shape

    def compose(self, shape: Shape) -> Module:
        layer: Any = self.layer
        options = {"go_backwards": not layer.go_backwards, "input_shape": shape, "trainable": layer.trainable}
        reverse = type(layer)(**{**layer.config(), **options})
        both = container.ConcatTable().add(layer.build(shape))
        both.add(chain(reverse, Reverse(_TIME) if layer.return_sequences else None))
        return chain(both, joining(self.merge_mode))
