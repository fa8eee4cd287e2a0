"""Learned factors and offsets, broadcast over the batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layout import channel_sum, unbroadcast
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.nn.weights import default_init

__all__ = ["Add", "CAdd", "CMul", "Mul", "Scale"]


def fitted(parameter: Array, x: Array) -> Array:
    """`parameter` in a shape that broadcasts to `x`: as it is, or behind the batch."""
    return parameter[None] if parameter.ndim == x.ndim - 1 else parameter


def summed(grad: Array, parameter: Array, x: Array) -> Array:
    """The sum of `grad`, of the shape of `x`, over where `parameter` was broadcast."""
    shape = fitted(parameter, x).shape
    if grad.ndim > 2 and shape == (1, x.shape[1], *[1] * (x.ndim - 2)):
        return channel_sum(grad).reshape(parameter.shape)
    return unbroadcast(grad, shape).reshape(parameter.shape)


def _fan(size: list[int]) -> int:
    return int(np.prod(size))


@dataclass(eq=False)
class Mul(Module):
    """weight x with one learned number. x: any shape -> same shape; weight (1,). Source: BigDL's Mul."""

    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.weight = Parameter.create((1,), default_init(1), (1, 1))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        def pull(grad: Array) -> Array:
            self.weight.accumulate(np.vdot(grad, x).astype(np.float32).reshape(1))
            return grad * self.weight.value

        return x * self.weight.value, pull


@dataclass(eq=False)
class Add(Module):
    """x + bias. x: (N, input_size) or (input_size,) -> same shape; bias (input_size,). Source: BigDL's Add."""

    input_size: int
    bias: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.bias = Parameter.create((self.input_size,), default_init(self.input_size), (self.input_size, 1))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        def pull(grad: Array) -> Array:
            self.bias.accumulate(unbroadcast(grad, self.bias.value.shape))
            return grad

        return x + self.bias.value, pull


@dataclass(eq=False)
class CMul(Module):
    """weight x, element by element; `size` may leave out the batch and has 1 where it is broadcast.

    x: any shape to which `size` broadcasts -> same shape; weight size.
    Source: BigDL's CMul.
    """

    size: list[int]
    wRegularizer: L1L2Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fan = _fan(self.size)
        self.weight = Parameter.create(tuple(self.size), default_init(fan), (fan, 1), self.wRegularizer)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        factor = fitted(self.weight.value, x)

        def pull(grad: Array) -> Array:
            self.weight.accumulate(summed(grad * x, self.weight.value, x))
            return grad * factor

        return x * factor, pull


@dataclass(eq=False)
class CAdd(Module):
    """x + bias, element by element; `size` as in CMul.

    x: any shape to which `size` broadcasts -> same shape; bias size.
    Source: BigDL's CAdd.
    """

    size: list[int]
    bRegularizer: L1L2Regularizer | None = None
    bias: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fan = _fan(self.size)
        self.bias = Parameter.create(tuple(self.size), default_init(fan), (fan, 1), self.bRegularizer)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        def pull(grad: Array) -> Array:
            self.bias.accumulate(summed(grad, self.bias.value, x))
            return grad

        return x + fitted(self.bias.value, x), pull


@dataclass(eq=False)
class Scale(Module):
    """weight x + bias, element by element: CMul, then CAdd.

    x: any shape to which `size` broadcasts -> same shape; weight and bias size.
    Source: BigDL's Scale.
    """

    size: list[int]
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fan = _fan(self.size)
        self.weight = Parameter.create(tuple(self.size), default_init(fan), (fan, 1))
        self.bias = Parameter.create(tuple(self.size), default_init(fan), (fan, 1))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        factor = fitted(self.weight.value, x)

        def pull(grad: Array) -> Array:
            self.weight.accumulate(summed(grad * x, self.weight.value, x))
            self.bias.accumulate(summed(grad, self.bias.value, x))
            return grad * factor

        return x * factor + fitted(self.bias.value, x), pull
