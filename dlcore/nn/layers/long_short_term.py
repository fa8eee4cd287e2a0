"""Cells of a long short-term memory, and how its gates work together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.nn.container import ParallelTable
from dlcore.nn.layers.affine import CMul
from dlcore.nn.layers.cells import (
    SIGMOID,
    TANH,
    GatedCell,
    Products,
    PullStep,
    States,
    VectorCell,
    Whole,
)
from dlcore.nn.layers.dropout import check_probability
from dlcore.nn.layers.linear import Linear
from dlcore.nn.layers.shared_product import SharedProduct
from dlcore.nn.module import Module
from dlcore.nn.weights import Regularizer

__all__ = ["LSTM", "LSTMPeephole"]


@dataclass(frozen=True)
class Gates:
    """How a long short-term memory puts its four gates together.

    order: i(nput), f(orget), g (what may enter), o(utput) as they lie along axis 1. inner: the activation of i, f and
    o; outer: that of g and of the output. peepholes: the factors with which a gate sees the memory.
    """

    order: str
    inner: Module
    outer: Module
    peepholes: Mapping[str, Module] = field(default_factory=dict)

    def open(self, name: str, value: Array, memory: Array) -> tuple[Array, Callable[[Array], tuple[Array, Any]]]:
        """How far gate `name` is open, and the function from that gradient to those of `value` and `memory`."""
        if name not in self.peepholes:
            y, pull = self.inner.apply(value)
            return y, lambda grad: (pull(grad), 0)
        seen, pull_seen = self.peepholes[name].apply(memory)
        y, pull = self.inner.apply(value + seen)

        def pull_both(grad: Array) -> tuple[Array, Any]:
            back = pull(grad)
            return back, pull_seen(back)

        return y, pull_both

    def step(self, values: Array, memory: Array) -> tuple[States, Callable[[States], tuple[Array, Array]]]:
        """c' = f c + i g, h' = o outer(c') -> ([h', c'], pull), where the output gate sees c', the others c (Graves
        2013).

        values: (N, 4 C, ...), the gates before their activation. memory: c (N, C, ...). `pull` gives the gradients of
        both.
        """
        parts = dict(zip(self.order, np.split(values, 4, axis=1), strict=True))
        i, pull_i = self.open("i", parts["i"], memory)
        f, pull_f = self.open("f", parts["f"], memory)
        g, pull_g = self.outer.apply(parts["g"])
        kept = f * memory + i * g
        o, pull_o = self.open("o", parts["o"], kept)
        shown, pull_shown = self.outer.apply(kept)

        def pull(grads: States) -> tuple[Array, Array]:
            grad_o, from_o = pull_o(grads[0] * shown)
            grad_kept = grads[1] + pull_shown(grads[0] * o) + from_o
            grad_i, from_i = pull_i(grad_kept * g)
            grad_f, from_f = pull_f(grad_kept * memory)
            found = {"i": grad_i, "f": grad_f, "g": pull_g(grad_kept * i), "o": grad_o}
            return np.concatenate([found[name] for name in self.order], axis=1), grad_kept * f + from_i + from_f

        return [o * shown, kept], pull


def gated_step(gates: Gates, share: Array, states: States, hidden: SharedProduct) -> tuple[States, PullStep]:
    """One step of a long short-term memory: `share` of the input, `hidden` of the output before."""
    values, pull_recurrent = hidden(states[0])
    values += share
    new, pull_gates = gates.step(values, states[1])

    def pull(grads: States) -> tuple[Array, States]:
        grad, grad_memory = pull_gates(grads)
        return grad, [pull_recurrent(grad), grad_memory]

    return new, pull


@dataclass(eq=False)
class LSTM(GatedCell):
    """Long short-term memory: i, g, f, o = W x + b + U h; c' = f c + i g; h' = o activation(c').

    x: [(N, input_size), [h, c]] -> [h', [h', c']], h and c (N, hidden_size).
    Weights: W (4 hidden_size, input_size), b, U (4 hidden_size, hidden_size), the gates in the order i, g, f, o.
    activation (tanh unless given) is that of g and the output, inner_activation (sigmoid) that of i, f and o.
    p: dropout of x and h, for each of the four.
    Source: BigDL's LSTM; Hochreiter and Schmidhuber 1997; Gal and Ghahramani 2016.
    """

    state_count = 2

    def __post_init__(self) -> None:
        hidden = self.recurrent(4)
        self.input, self.hidden = self.entrance(4), hidden

    def products(self, count: int) -> Products:
        return [
            SharedProduct([layer], self.masks(self.p, 4, (count, layer.input_size)))
            for layer in (self.input, self.hidden)
        ]

    def whole(self) -> Whole | None:
        bias = self.input.bias
        if not self.is_usual or type(self).step is not LSTM.step or bias is None:
            return None
        return Whole("lstm", [self.input.weight, self.hidden.weight, bias])

    def step(self, share: Array, states: States, products: Products) -> tuple[States, PullStep]:
        return gated_step(Gates("igfo", self.inner, self.outer), share, states, products[1])


@dataclass(eq=False)
class LSTMPeephole(VectorCell):
    """LSTM whose gates also see the memory: i and f see c, o sees c', each with a learned factor per element.

    x: [(N, input_size), [h, c]] -> [h', [h', c']], h and c (N, hidden_size).
    Weights: W (4 hidden_size, input_size), b in the order i, f, g, o; then of f, i, g and o the factors (hidden_size,),
    which g does not have, and U (hidden_size, hidden_size).
    p: dropout as in LSTM.
    Source: BigDL's LSTMPeephole; Graves, Mohamed and Hinton 2013.
    """

    state_count = 2
    input_size: int = 4
    hidden_size: int = 3
    p: float = 0.0
    wRegularizer: Regularizer | None = None
    uRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    forget_gate: ParallelTable = field(init=False, repr=False)
    input_gate: ParallelTable = field(init=False, repr=False)
    hidden: Linear = field(init=False, repr=False)
    output_gate: ParallelTable = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_probability(self.p, self.label())
        first, second, hidden, last = self._gate(), self._gate(), self._recurrent(), self._gate()
        self.input = Linear(self.input_size, 4 * self.hidden_size, True, self.wRegularizer, self.bRegularizer)
        self.forget_gate, self.input_gate, self.hidden, self.output_gate = second, first, hidden, last

    def _recurrent(self) -> Linear:
        return Linear(self.hidden_size, self.hidden_size, False, self.uRegularizer)

    def _gate(self) -> ParallelTable:
        recurrent = self._recurrent()
        return ParallelTable().add(CMul([self.hidden_size])).add(recurrent)

    def products(self, count: int) -> Products:
        hidden = [self.input_gate[1], self.forget_gate[1], self.hidden, self.output_gate[1]]
        sizes = self.input_size, self.hidden_size
        masks = [self.masks(self.p, 4, (count, size)) for size in sizes]
        return [SharedProduct([self.input], masks[0]), SharedProduct(hidden, masks[1])]

    def step(self, share: Array, states: States, products: Products) -> tuple[States, PullStep]:
        peepholes = {"i": self.input_gate[0], "f": self.forget_gate[0], "o": self.output_gate[0]}
        return gated_step(Gates("ifgo", SIGMOID, TANH, peepholes), share, states, products[1])
