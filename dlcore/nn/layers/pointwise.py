"""Arithmetic on every element: any shape -> same shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback, describe
from dlcore.nn.module import Module

__all__ = [
    "Abs",
    "AddConstant",
    "Echo",
    "Exp",
    "GradientReversal",
    "Log",
    "MulConstant",
    "Negative",
    "Power",
    "Sqrt",
    "Square",
]


@dataclass(eq=False)
class Abs(Module):
    """|x|. x: any shape -> same shape. Source: BigDL's Abs."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.abs(x), lambda grad: grad * np.sign(x)


@dataclass(eq=False)
class Square(Module):
    """x^2. x: any shape -> same shape. Source: BigDL's Square."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.square(x), lambda grad: grad * 2 * x


@dataclass(eq=False)
class Sqrt(Module):
    """Square root. x: any shape -> same shape. Source: BigDL's Sqrt."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = np.sqrt(x)
        return y, lambda grad: grad / (2 * y)


@dataclass(eq=False)
class Exp(Module):
    """exp(x). x: any shape -> same shape. Source: BigDL's Exp."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = np.exp(x)
        return y, lambda grad: grad * y


@dataclass(eq=False)
class Log(Module):
    """Natural logarithm. x: any shape -> same shape. Source: BigDL's Log."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.log(x), lambda grad: grad / x


@dataclass(eq=False)
class Power(Module):
    """(shift + scale x)^power. x: any shape -> same shape. Source: BigDL's Power."""

    power: float
    scale: float = 1.0
    shift: float = 0.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        inner = float(self.shift) + float(self.scale) * x
        slope = float(self.power * self.scale)
        return inner ** float(self.power), lambda grad: grad * slope * inner ** float(self.power - 1)


@dataclass(eq=False)
class Negative(Module):
    """-x. x: any shape -> same shape. Source: BigDL's Negative."""

    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return -x, lambda grad: -grad


@dataclass(eq=False)
class AddConstant(Module):
    """x + constant_scalar. x: any shape -> same shape. Source: BigDL's AddConstant."""

    constant_scalar: float
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x + float(self.constant_scalar), lambda grad: grad


@dataclass(eq=False)
class MulConstant(Module):
    """scalar x. x: any shape -> same shape. Source: BigDL's MulConstant."""

    scalar: float
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        factor = float(self.scalar)
        return x * factor, lambda grad: grad * factor


@dataclass(eq=False)
class GradientReversal(Module):
    """x forwards, -the_lambda times the gradient backwards.

    x: any shape -> same shape.
    Source: BigDL's GradientReversal; Ganin and Lempitsky 2015.
    """

    the_lambda: float = 1.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        factor = float(-self.the_lambda)
        return x, lambda grad: grad * factor


@dataclass(eq=False)
class Echo(Module):
    """Pass everything on, and print the shapes of the activation and of its gradient, for debugging.

    x: any shape -> same shape.
    Source: BigDL's Echo.
    """

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        print(f"{self.name()}: activation of shape {describe(x)}")

        def pull(grad: Array) -> Array:
            print(f"{self.name()}: gradient of shape {describe(grad)}")
            return grad

        return x, pull

    def outline(self, x: Array) -> Array:
        return x
