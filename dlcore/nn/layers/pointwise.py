"""Arithmetic on every element: any shape -> same shape."""

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.module import Module


@dataclass(eq=False)
class Abs(Module):
    """|x|."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.abs(x), lambda grad: grad * np.sign(x)


@dataclass(eq=False)
class Square(Module):
    """x^2."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.square(x), lambda grad: grad * 2 * x


@dataclass(eq=False)
class Sqrt(Module):
    """Square root."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = np.sqrt(x)
        return y, lambda grad: grad / (2 * y)


@dataclass(eq=False)
class Exp(Module):
    """exp(x)."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = np.exp(x)
        return y, lambda grad: grad * y


@dataclass(eq=False)
class Log(Module):
    """Natural logarithm."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.log(x), lambda grad: grad / x


@dataclass(eq=False)
class Power(Module):
    """(shift + scale x)^power."""

    power: float
    scale: float = 1.0
    shift: float = 0.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        inner = np.float32(self.shift) + np.float32(self.scale) * x
        slope = np.float32(self.power * self.scale)
        return inner ** np.float32(self.power), lambda grad: grad * slope * inner ** np.float32(self.power - 1)


@dataclass(eq=False)
class Negative(Module):
    """-x."""

    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return -x, lambda grad: -grad


@dataclass(eq=False)
class AddConstant(Module):
    """x + constant_scalar."""

    constant_scalar: float
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x + np.float32(self.constant_scalar), lambda grad: grad


@dataclass(eq=False)
class MulConstant(Module):
    """scalar x."""

    scalar: float
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        factor = np.float32(self.scalar)
        return x * factor, lambda grad: grad * factor


@dataclass(eq=False)
class GradientReversal(Module):
    """x forwards, -the_lambda times the gradient backwards (Ganin and Lempitsky 2015)."""

    the_lambda: float = 1.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        factor = np.float32(-self.the_lambda)
        return x, lambda grad: grad * factor
