"""Containers that run a recurrent cell over the steps of a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from dlcore.activity import Activity, Array, Pullback, as_activity, float_type
from dlcore.nn.container import Container
from dlcore.nn.layers.cells import Cell, PullScan, States, require_cell, settle
from dlcore.nn.layers.table import CAddTable
from dlcore.nn.module import Module
from dlcore.nn.pullback import SelectivePullback, pulled
from dlcore.nn.shapes import blank

__all__ = ["BiRecurrent", "Recurrent", "RecurrentDecoder"]


@dataclass(eq=False)
class Recurrent(Container):
    """Run a cell over the steps, from the first one on: `Recurrent().add(LSTM(4, 3))`.

    x: (N, T, ...) -> (N, T, ...), the rest as the cell makes it.
    Each pass begins with zeros, or with what `set_hidden_state` has set; the pullback goes through all steps.
    Source: BigDL's Recurrent.

    Example:
        >>> from dlcore.nn.layer import LSTM
        >>> model = Recurrent().add(LSTM(4, 3))
        >>> model.forward(np.ones((2, 5, 4))).shape, [state.shape for state in model.get_hidden_state()]
        ((2, 5, 3), [(2, 3), (2, 3)])
    """

    hidden_states = ("first_states", "last_states")
    first_states: Any = field(default=None, init=False, repr=False)
    last_states: Any = field(default=None, init=False, repr=False)

    def add(self, model: Module) -> Self:
        """Take `model` as the cell.

        Raises:
            TypeError: it is no cell.
            ValueError: there is one.
        """
        require_cell(self, model)
        if self.modules:
            raise ValueError(
                f"{self.label()}: got a second cell, expected one; stack cells by MultiRNNCell, or Recurrents in a "
                f"Sequential"
            )
        return super().add(model)

    @property
    def cell(self) -> Cell:
        """The cell.

        Raises:
            ValueError: there is none yet.
        """
        if not self.modules:
            raise ValueError(f"{self.label()}: got no cell, expected one; call add(LSTM(4, 3))")
        return self.modules[0]  # type: ignore[return-value]

    def get_hidden_state(self) -> States:
        """The cell's states after the last step of the latest pass: [h, c] of an LSTM, [h] of a GRU.

        Raises:
            RuntimeError: there was no pass.
        """
        if self.last_states is None:
            raise RuntimeError(f"{self.label()}: got no pass yet, expected one; call forward(x) first")
        return list(self.last_states)

    def set_hidden_state(self, states: Any) -> Self:
        """Begin each pass with these states, in the form of `get_hidden_state`, until `reset_states`."""
        self.first_states = as_activity(list(states))
        return self

    def _begin(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> States:
        """The states before the first step, whose input is of `shape` (N, ...)."""
        if self.first_states is None:
            return self.cell.initial_states(shape, kind)
        return self.cell.checked(self.first_states, shape, kind)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if x.ndim < 3:
            raise ValueError(f"{self.label()}: got input {x.shape}, expected sequences (N, T, ...)")
        states = self._begin((len(x), *x.shape[2:]), float_type(x))
        y, self.last_states, pullback = unrolled(self.cell, x, states)
        return y, pullback

    def outline(self, x: Array) -> Array:
        y = self.apply(x[:, :1])[0]
        shape: Array = blank((*x.shape[:2], *y.shape[2:]))
        return shape


def unrolled(cell: Cell, x: Array, states: States, is_reversed: bool = False) -> tuple[Array, States, Pullback]:
    """`cell` over x (N, T, ...), from the last step to the first if so: the outputs in the order of `x`, the last
    states, the pullback."""
    order = slice(None, None, -1 if is_reversed else 1)
    products = cell.products(len(x))
    y, last, pull_scan = cell.scan(x.swapaxes(0, 1)[order], states, products)

    def pull(grad: Array, needs_x: bool) -> Any:
        grad_x, _ = pull_scan(grad.swapaxes(0, 1)[order], None, needs_x)
        settle(products)
        return grad_x[order].swapaxes(0, 1) if needs_x else None

    return np.ascontiguousarray(y[order].swapaxes(0, 1)), last, SelectivePullback(pull)


@dataclass(eq=False)
class RecurrentDecoder(Recurrent):
    """A cell that gets its own output: the first step takes x, each later one the output of the step before.

    x: (N, ...) -> (N, output_length, ...); the cell's output has the shape of its input.
    The gradient is that of x; BigDL gives those of all steps' inputs.
    Source: BigDL's RecurrentDecoder.

    Raises:
        ValueError: output_length is below 1, or the cell's output has another shape than its input.
    """

    output_length: int

    def __post_init__(self) -> None:
        if self.output_length < 1:
            raise ValueError(f"{self.label()}: got output_length {self.output_length}, expected at least one step")

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        products, states = self.cell.products(len(x)), self._begin(x.shape, float_type(x))
        if states_shape(states) != x.shape:
            raise ValueError(
                f"{self.label()}: got input {x.shape} and output {states_shape(states)} of {self.cell.label()}, "
                f"expected equal "
                "shapes: the output is the next input"
            )
        fed, outputs, pulls = x[None], [], []
        for _ in range(self.output_length):
            fed, states, pull_step = self.cell.scan(fed, states, products)
            outputs.append(fed[0])
            pulls.append(pull_step)
        self.last_states = states

        def pull(grad: Array, needs_x: bool) -> Any:
            back = self._pulled_back(grad, pulls, needs_x)
            settle(products)
            return back

        return np.stack(outputs, axis=1), SelectivePullback(pull)

    def _pulled_back(self, grad: Array, pulls: list[PullScan], needs_x: bool) -> Any:
        grad_states: States | None = None
        back: Any = np.zeros((1, *grad[:, 0].shape), grad.dtype)
        while pulls:
            t = len(pulls) - 1
            back, grad_states = pulls.pop()(back + grad[None, :, t], grad_states, needs_x or t > 0)
        return back[0] if needs_x else None

    def outline(self, x: Array) -> Array:
        shape: Array = blank((len(x), self.output_length, *x.shape[1:]))
        return shape


def states_shape(states: States) -> tuple[int, ...]:
    """The shape of a cell's output: that of its first state, of the last of several cells."""
    first = states[-1] if isinstance(states[-1], list) else states[0]
    shape: tuple[int, ...] = first.shape if isinstance(first, np.ndarray) else states_shape(first)
    return shape


@dataclass(eq=False)
class BiRecurrent(Container):
    """A cell from the first step on and a copy of it from the last step back; `merge` puts the two outputs together, by
    default CAddTable.

    x: (N, T, ...) -> (N, T, ...), the rest as the cell and `merge` make it.
    A second `add` takes the place of the copy.
    Source: BigDL's BiRecurrent; Schuster and Paliwal 1997.
    """

    merge: Module | None = None

    def add(self, model: Module) -> Self:
        """Take `model` as the forward cell and a copy of it as the backward one; given again, as the backward one.

        Raises:
            TypeError: it is no cell.
        """
        require_cell(self, model)
        if self.modules:
            self.modules[1] = model
            return self
        backward = model.clone()
        if model._name is not None:
            backward.set_name(f"{model._name}_backward")
        self.modules = [model, backward]
        return self

    def apply(self, x: Array) -> tuple[Activity, Pullback]:
        if x.ndim < 3 or not self.modules:
            raise ValueError(
                f"{self.label()}: got input {x.shape} and {len(self.modules)} cells, expected sequences (N, T, ...) "
                f"and "
                "add(LSTM(4, 3))"
            )
        cells: list[Any] = self.modules
        shape, kind = (len(x), *x.shape[2:]), float_type(x)
        results = [
            unrolled(cell, x, cell.initial_states(shape, kind), is_reversed)
            for cell, is_reversed in zip(cells, (False, True), strict=True)
        ]
        merge = CAddTable() if self.merge is None else self.merge
        y, pull_merge = merge.apply([result[0] for result in results])

        def pull(grad: Any, needs_x: bool) -> Any:
            parts = zip(results, pull_merge(grad), strict=True)
            backs = [pulled(pullback, part, needs_x) for (_, _, pullback), part in parts]
            return backs[0] + backs[1] if needs_x else None

        return y, SelectivePullback(pull)
