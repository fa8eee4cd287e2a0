"""Recurrent cells: what happens at one step of a sequence, and the loop over its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from dlcore import kernels
from dlcore.activity import Array, Pullback, describe, float_type, map_leaves, zeros_like
from dlcore.nn.layers.activation import HardSigmoid, ReLU, Sigmoid, SoftMax, SoftPlus, SoftSign, Tanh
from dlcore.nn.layers.dropout import check_probability
from dlcore.nn.layers.linear import Linear
from dlcore.nn.layers.shape import Identity
from dlcore.nn.layers.shared_product import SharedProduct
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pullback import SelectivePullback
from dlcore.nn.weights import Regularizer
from dlcore.rng import RNG

__all__ = ["GRU", "Cell", "MultiRNNCell", "RnnCell"]

States: TypeAlias = list[Any]
"""What a cell hands from one step to the next, (N, ...) each; the first is its output. Those of several cells are lists
in a list."""
Products: TypeAlias = list[Any]
"""The products that the steps of one pass share, that of the input first; those of several cells are lists in a
list."""
PullStep: TypeAlias = Callable[[States], tuple[Array, States]]
"""Turns the gradients of the new states into those of the step's share of the input and of the states before."""
PullScan: TypeAlias = Callable[..., tuple[Any, States]]
"""`pull(grad_y, grad_states, needs_x)` -> (grad_x, grad_states); grad_states is None where nothing uses the last
states."""


@dataclass(frozen=True)
class Whole:
    """A kernel that computes all steps at once: "lstm" or "gru" of `kernels`, and the parameters in the order that it
    takes them."""

    kind: str
    parameters: list[Parameter]


@dataclass(eq=False)
class Cell(Module):
    """One step of a recurrent layer; Recurrent, RecurrentDecoder and BiRecurrent run it over the steps.

    x: [(N, ...), its states] -> [output (N, ...), the new states].
    A subclass defines `initial_states` and `step`. In `project` it may compute, for all steps at once, what does not
    depend on the states; products that the steps share come from `products`.
    Source: BigDL's Cell.
    """

    def initial_states(self, shape: tuple[int, ...], kind: DTypeLike) -> States:
        """Zeros for an input of `shape` (N, ...) at one step."""
        raise NotImplementedError(f"{type(self).__name__} does not define initial_states")

    def products(self, count: int) -> Products:
        """The products of one pass over `count` sequences; whoever asks for them calls `settle` in the end."""
        return []

    def project(self, x: Array, products: Products) -> tuple[Array, Callable[..., Any]]:
        """The input's share in all steps, (T, N, ...), and `pull(grad, needs_x)`."""
        return x, lambda grad, needs_x: grad

    def step(self, share: Array, states: States, products: Products) -> tuple[States, PullStep]:
        """The new states from the input's share (N, ...) in this step and the states before."""
        raise NotImplementedError(f"{type(self).__name__} does not define step")

    def scan(self, x: Array, states: States, products: Products) -> tuple[Array, States, PullScan]:
        """All steps: x (T, N, ...) -> (y (T, N, ...), the last states, pull)."""
        shares, pull_shares = self.project(x, products)
        y = np.empty((len(x), *states[0].shape), float_type(x))
        pulls: list[PullStep] = []
        for t, share in enumerate(shares):
            states, pull_step = self.step(share, states, products)
            y[t] = states[0]
            pulls.append(pull_step)
        last = states

        def pull(grad_y: Array, grad_states: States | None, needs_x: bool) -> tuple[Any, States]:
            given: Any = zeros_like(last) if grad_states is None else grad_states
            grads: States = list(given)
            grad_shares = np.empty_like(shares)
            for t in reversed(range(len(grad_shares))):
                grads[0] = grads[0] + grad_y[t]
                grad_shares[t], grads = pulls.pop()(grads)
            return pull_shares(grad_shares, needs_x), grads

        return y, last, pull

    def checked(self, states: Any, shape: tuple[int, ...], kind: np.dtype[Any]) -> States:
        """`states` as numbers of type `kind`.

        Raises:
            ValueError: an input of `shape` has states of other shapes.
        """
        expected = self.initial_states(shape, kind)
        if describe(states) != describe(expected):
            raise ValueError(
                f"{self.label()}: got states {describe(states)}, expected {describe(expected)} for input {shape}"
            )
        typed: Any = map_leaves(lambda leaf: np.asarray(leaf, kind), list(states))
        return typed  # type: ignore[no-any-return]

    def apply(self, x: list[Any]) -> tuple[list[Any], Pullback]:
        first, states = x
        products = self.products(len(first))
        y, last, pull_scan = self.scan(first[None], self.checked(states, first.shape, float_type(first)), products)

        def pull(grad: list[Any], needs_x: bool) -> list[Any]:
            grad_x, grad_states = pull_scan(grad[0][None], grad[1], needs_x)
            settle(products)
            return [grad_x[0] if needs_x else None, grad_states]

        return [y[0], last], SelectivePullback(pull)


def settle(products: Products) -> None:
    """Add up what the steps of a pass leave to its end: the gradients of the weights."""
    for product in products:
        settle(product) if isinstance(product, list) else product.settle()


@dataclass(eq=False)
class VectorCell(Cell):
    """A cell of vectors: x (N, input_size) -> (N, hidden_size)."""

    state_count: ClassVar[int] = 1
    input_size: int
    hidden_size: int
    input: Linear = field(init=False, repr=False)

    def initial_states(self, shape: tuple[int, ...], kind: DTypeLike) -> States:
        return [np.zeros((shape[0], self.hidden_size), kind) for _ in range(self.state_count)]

    def project(self, x: Array, products: Products) -> tuple[Array, Callable[..., Any]]:
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{self.label()}: got steps of shape {x.shape[1:]}, expected (N, {self.input_size}); build it with "
                f"input_size={x.shape[-1]} or reshape its input to (N, T, {self.input_size})"
            )
        return products[0](x)  # type: ignore[no-any-return]

    def masks(self, p: float, parts: int, shape: tuple[int, int]) -> Array | None:
        """The factors of dropout for `parts` products of an input of `shape`; None in evaluation and with p = 0."""
        if not self._training or p == 0:
            return None
        kept: Array = RNG.bernoulli(1 - p, (parts, *shape)).astype(self.input.weight.value.dtype) / (1 - p)
        return kept


@dataclass(eq=False)
class RnnCell(VectorCell):
    """h' = activation(W x + b + U h + c).

    x: [(N, input_size), [h]] -> [h', [h']], h (N, hidden_size).
    Weights: W (hidden_size, input_size), b, U (hidden_size, hidden_size), c.
    Source: BigDL's RnnCell; Elman 1990.
    """

    activation: Module
    isInputWithBias: bool = True
    isHiddenWithBias: bool = True
    wRegularizer: Regularizer | None = None
    uRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    hidden: Linear = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.activation = activation_of(self.activation, TANH, self)
        size, penalties = self.hidden_size, (self.wRegularizer, self.bRegularizer)
        self.input = Linear(self.input_size, size, self.isInputWithBias, *penalties)
        self.hidden = Linear(size, size, self.isHiddenWithBias, self.uRegularizer)

    def products(self, count: int) -> Products:
        return [SharedProduct([self.input]), SharedProduct([self.hidden])]

    def step(self, share: Array, states: States, products: Products) -> tuple[States, PullStep]:
        recurrent, pull_recurrent = products[1](states[0])
        y, pull_y = self.activation.apply(share + recurrent)

        def pull(grads: States) -> tuple[Array, States]:
            grad = pull_y(grads[0])
            return grad, [pull_recurrent(grad)]

        return [y], pull


TANH, SIGMOID = Tanh(), Sigmoid()
ACTIVATIONS: dict[str, Module] = {
    "hard_sigmoid": HardSigmoid(),
    "linear": Identity(),
    "relu": ReLU(),
    "sigmoid": SIGMOID,
    "softmax": SoftMax(),
    "softplus": SoftPlus(),
    "softsign": SoftSign(),
    "tanh": TANH,
}
"""The activations that BigDL's cells take by name."""


def activation_of(given: Module | str | None, usual: Module, owner: Module) -> Module:
    """The activation that `owner` is given, by name too; `usual` if it is none.

    Raises:
        ValueError: another name.
        TypeError: something else.
    """
    if given is None or isinstance(given, Module):
        return usual if given is None else given
    if not isinstance(given, str):
        raise TypeError(f"{owner.label()}: got activation {given!r}, expected a layer, such as Tanh(), or a name")
    if given.lower() not in ACTIVATIONS:
        raise ValueError(
            f"{owner.label()}: got activation {given!r}, expected a layer or one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[given.lower()]


@dataclass(eq=False)
class GatedCell(VectorCell):
    """A cell with gates. activation is tanh, inner_activation, that of the gates, sigmoid unless given, as a layer or
    by name.

    p: dropout in training of all that a gate takes, drawn for each gate and sequence and the same at all its steps (Gal
    and Ghahramani 2016). BigDL keeps a matrix per gate then; here the weights are the same with and without.
    """

    p: float = 0.0
    activation: Module | str | None = None
    inner_activation: Module | str | None = None
    wRegularizer: Regularizer | None = None
    uRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    hidden: Linear = field(init=False, repr=False)

    def recurrent(self, parts: int) -> Linear:
        """New weights from the output before to `parts` gates."""
        check_probability(self.p, self.label())
        for given in (self.activation, self.inner_activation):
            activation_of(given, TANH, self)
        return Linear(self.hidden_size, parts * self.hidden_size, False, self.uRegularizer)

    def entrance(self, parts: int) -> Linear:
        """New weights from the input to `parts` gates. BigDL draws them after the recurrent ones, and lists them
        before."""
        return Linear(self.input_size, parts * self.hidden_size, True, self.wRegularizer, self.bRegularizer)

    @property
    def outer(self) -> Module:
        """The activation in use."""
        return activation_of(self.activation, TANH, self)

    @property
    def inner(self) -> Module:
        """The gates' activation in use."""
        return activation_of(self.inner_activation, SIGMOID, self)

    @property
    def is_usual(self) -> bool:
        """Whether the activations are tanh and sigmoid."""
        return type(self.outer) is Tanh and type(self.inner) is Sigmoid

    def whole(self) -> Whole | None:
        """How all steps are computed at once; None where they are not, such as with other activations."""
        return None

    def scan(self, x: Array, states: States, products: Products) -> tuple[Array, States, PullScan]:
        has_masks = any(product.masks is not None for product in products)
        whole = None if has_masks or len(x) == 1 else self.whole()  # a single step shares its products with others
        if whole is None or x.ndim != 3 or x.shape[-1] != self.input_size:
            return super().scan(x, states, products)
        parameters = whole.parameters
        y, *last, saved = getattr(kernels, whole.kind)(x, *(each.value for each in parameters), *states)

        def pull(grad_y: Array, grad_states: States | None, needs_x: bool) -> tuple[Any, States]:
            given: Any = zeros_like(last) if grad_states is None else grad_states
            grad_x, *grads = getattr(kernels, f"{whole.kind}_backward")(grad_y, *given, saved)
            for parameter, grad in zip(parameters, grads, strict=False):
                parameter.accumulate(grad)
            return grad_x if needs_x else None, grads[len(parameters) :]

        return y, last, pull


@dataclass(eq=False)
class GRU(GatedCell):
    """Gated recurrent unit: r, z = inner(W x + b + U h); n = activation(V x + d + C (r h)); h' = (1 - z) n + z h.

    x: [(N, input_size), [h]] -> [h', [h']], h (N, hidden_size).
    Weights: W and V in one (3 hidden_size, input_size), b and d in one, U (2 hidden_size, hidden_size), C (hidden_size,
    hidden_size); in the order r, z, n; n is activated by activation, r and z by inner_activation.
    p: dropout of x, h and r h, for each of r, z and n.
    Source: BigDL's GRU; Cho et al. 2014.
    """

    candidate: Linear = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hidden, candidate = self.recurrent(2), self.recurrent(1)
        self.input, self.hidden, self.candidate = self.entrance(3), hidden, candidate

    def products(self, count: int) -> Products:
        parts = ((self.input, 3), (self.hidden, 2), (self.candidate, 1))
        return [SharedProduct([layer], self.masks(self.p, gates, (count, layer.input_size))) for layer, gates in parts]

    def whole(self) -> Whole | None:
        bias = self.input.bias
        if not self.is_usual or type(self).step is not GRU.step or bias is None:
            return None
        return Whole("gru", [self.input.weight, self.hidden.weight, self.candidate.weight, bias])

    def step(self, share: Array, states: States, products: Products) -> tuple[States, PullStep]:
        (h,), (_, hidden, candidate), size = states, products, self.hidden_size
        recurrent, pull_recurrent = hidden(h)
        opening = share[:, : 2 * size] + recurrent
        r, pull_r = self.inner.apply(opening[:, :size])
        z, pull_z = self.inner.apply(opening[:, size:])
        proposed, pull_proposed = candidate(r * h)
        n, pull_n = self.outer.apply(share[:, 2 * size :] + proposed)

        def pull(grads: States) -> tuple[Array, States]:
            (grad,) = grads
            grad_n = pull_n(grad * (1 - z))
            grad_reset = pull_proposed(grad_n)
            grad_gates = np.concatenate([pull_r(grad_reset * h), pull_z(grad * (h - n))], axis=1)
            grad_h = grad * z + grad_reset * r + pull_recurrent(grad_gates)
            return np.concatenate([grad_gates, grad_n], axis=1), [grad_h]

        return [n + z * (h - n)], pull


@dataclass(eq=False)
class MultiRNNCell(Cell):
    """Several cells as one, on top of each other: each takes the output of the one below.

    x: [(N, ...), the list of the cells' states] -> [the last one's output, the list of their new states].
    Source: BigDL's MultiRNNCell.

    Raises:
        TypeError: something in `cells` is no cell.
        ValueError: there is none.
    """

    cells: list[Cell]

    def __post_init__(self) -> None:
        if not isinstance(self.cells, (list, tuple)):
            raise TypeError(f"{self.label()}: got {type(self.cells).__name__}, expected a list of cells")
        if not self.cells:
            raise ValueError(f"{self.label()}: got no cells, expected one or more")
        for cell in self.cells:
            require_cell(self, cell)

    def initial_states(self, shape: tuple[int, ...], kind: DTypeLike) -> States:
        return [cell.initial_states(shape, kind) for cell in self.cells]

    def products(self, count: int) -> Products:
        return [cell.products(count) for cell in self.cells]

    def scan(self, x: Array, states: States, products: Products) -> tuple[Array, States, PullScan]:
        last: States = []
        pulls: list[PullScan] = []
        for cell, before, shared in zip(self.cells, states, products, strict=True):
            x, after, pull_cell = cell.scan(x, before, shared)
            last.append(after)
            pulls.append(pull_cell)

        def pull(grad: Any, grad_states: States | None, needs_x: bool) -> tuple[Any, States]:
            found: States = [None] * len(pulls)
            for k in reversed(range(len(pulls))):
                grad, found[k] = pulls[k](grad, None if grad_states is None else grad_states[k], needs_x or k > 0)
            return grad, found

        return x, last, pull


def require_cell(owner: Module, cell: Any) -> None:
    """Raise TypeError unless `cell`, which `owner` is given, is a Cell."""
    if not isinstance(cell, Cell):
        raise TypeError(
            f"{owner.label()}: got {type(cell).__name__}, expected a recurrent cell, such as LSTM(4, 3); put other "
            f"layers "
            "before or after it"
        )
