"""What a layer learns (Parameter) and what it merely remembers (Buffer)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from dlcore import kernels
from dlcore.activity import Activity, Array, Places, float_type, with_floats
from dlcore.nn.init import InitMethod, RandomUniform, Shape
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.number_type import made_type, making


@dataclass(eq=False)
class Parameter:
    """A learned array and its gradient; the gradient is allocated when first used.

    value: float32 or float64, any shape. A frozen parameter receives no gradient. Layers may share one: `second.weight
    = first.weight`; it is counted, learned and saved once.
    """

    value: Array
    init: InitMethod = field(default_factory=RandomUniform)
    fan_in: int = 1
    fan_out: int = 1
    regularizer: L1L2Regularizer | None = None
    frozen: bool = False
    _grad: Array | None = field(default=None, repr=False)
    _owes_penalty: bool = field(default=False, repr=False)

    @classmethod
    def create(
        cls, shape: Shape, init: InitMethod, fans: tuple[int, int], regularizer: L1L2Regularizer | None = None
    ) -> Parameter:
        """A new parameter, drawn by `init`; `fans` are (fan_in, fan_out) of the layer's weight."""
        return cls(init(shape, *fans), init, *fans, regularizer)

    @property
    def grad(self) -> Array:
        """The summed gradient since it was last zeroed, of the shape of `value`."""
        if self._grad is None:
            self._grad = np.zeros_like(self.value, order="C")
        return self._grad

    def accumulate(self, grad: Array) -> None:
        """Add `grad`, unless frozen."""
        if not self.frozen:
            self.grad[...] += grad
            self._owes_penalty = True

    def accumulate_rows(self, rows: Places, grads: Array) -> None:
        """Add each of `grads` (K, D) to the gradient's row whose number, from 0 on, `rows` (K,) says, unless frozen."""
        if not self.frozen:
            kernels.add_rows(self.grad, rows, grads)
            self._owes_penalty = True

    def penalise(self) -> None:
        """Add the regularizer's gradient, once for all that was accumulated since the last time: at the end of a
        backward pass, however often the parameter was used in it."""
        if self._owes_penalty and self.regularizer is not None:
            self.grad[...] += self.regularizer.gradient(self.value)
        self._owes_penalty = False

    def zero_grad(self) -> None:
        """Set the gradient to zero."""
        self._owes_penalty = False
        if self._grad is not None:
            self._grad.fill(0.0)

    def reset(self) -> None:
        """Draw the value anew."""
        with making(self.value.dtype):
            self.value[...] = self.init(self.value.shape, self.fan_in, self.fan_out)

    def assign(self, value: Array) -> None:
        """Copy `value` in, keeping the memory.

        Raises:
            ValueError: another number of elements.
        """
        array = np.asarray(value, self.value.dtype)
        if array.size != self.value.size:
            raise ValueError(f"got a value of shape {array.shape}, expected {self.value.shape}")
        self.value[...] = array.reshape(self.value.shape)

    def move_into(self, value: Array, grad: Array) -> None:
        """Keep value and gradient from now on in these flat stretches of memory."""
        value[...] = self.value.reshape(-1)
        if self._grad is None:
            grad.fill(0.0)
        else:
            grad[...] = self._grad.reshape(-1)
        self.value, self._grad = value.reshape(self.value.shape), grad.reshape(self.value.shape)

    def share_grad(self, grad: Array) -> None:
        """Keep the gradient from now on in this flat stretch of memory, whose content is left as it is."""
        self._grad = grad.reshape(self.value.shape)

    def forget_grad(self) -> None:
        """Give up the gradient's memory; the next use allocates zeros."""
        self._grad = None


@dataclass(eq=False)
class Buffer:
    """State that is saved with the model but not learned, such as running means."""

    value: Array

    def __post_init__(self) -> None:
        if made_type() == np.float64:
            self.value = self.value.astype(made_type())


Holder = TypeVar("Holder", Parameter, Buffer)


def stretches(holders: Iterable[Holder]) -> Iterator[tuple[Holder, slice]]:
    """Each holder with its place in flat memory that holds their values one after the other."""
    start = 0
    for holder in holders:
        end = start + holder.value.size
        yield holder, slice(start, end)
        start = end


def in_type_of(parameters: Iterable[Parameter], x: Activity) -> Activity:
    """`x` with floats of the type of the first parameter, if there is one; only a float64 has the parameters looked
    for."""
    if float_type(x) == np.float32:
        return x
    first = next(iter(parameters), None)
    return x if first is None else with_floats(x, first.value.dtype)
