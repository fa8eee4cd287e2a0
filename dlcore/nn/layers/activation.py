"""Activation functions: any shape -> same shape unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback, float_type
from dlcore.nn.init import ConstInitMethod, InitMethod, Ones, Xavier, Zeros
from dlcore.nn.layout import channel_sum, unbroadcast
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.rng import RNG

__all__ = [
    "ELU",
    "BinaryThreshold",
    "Clamp",
    "HardShrink",
    "HardSigmoid",
    "HardTanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftMax",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SReLU",
    "Sigmoid",
    "SoftMax",
    "SoftMin",
    "SoftPlus",
    "SoftShrink",
    "SoftSign",
    "Tanh",
    "TanhShrink",
    "Threshold",
]


@dataclass(eq=False)
class ReLU(Module):
    """max(x, 0). x: any shape -> same shape. Source: BigDL's ReLU; Nair and Hinton 2010."""

    is_rectifier: ClassVar[bool] = True
    ip: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = kernels.relu(x)
        return y, lambda grad: kernels.relu_backward(grad, y)

    def outline(self, x: Array) -> Array:
        return x


@dataclass(eq=False)
class ReLU6(Module):
    """min(max(x, 0), 6). x: any shape -> same shape. Source: BigDL's ReLU6; Krizhevsky 2010."""

    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.clip(x, 0.0, 6.0), lambda grad: grad * ((x > 0) & (x < 6))


@dataclass(eq=False)
class HardTanh(Module):
    """Clip every element to [min_value, max_value]. x: any shape -> same shape. Source: BigDL's HardTanh."""

    min_value: float = -1.0
    max_value: float = 1.0
    inplace: bool = False

    def __post_init__(self) -> None:
        if self.min_value >= self.max_value:
            raise ValueError(f"{self.label()}: got [{self.min_value}, {self.max_value}], expected min below max")

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        inside = (x > self.min_value) & (x < self.max_value)
        return np.clip(x, self.min_value, self.max_value), lambda grad: grad * inside


@dataclass(eq=False)
class Clamp(Module):
    """Clip every element to [min, max]. x: any shape -> same shape. Source: BigDL's Clamp."""

    min: float
    max: float

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        inside = (x > self.min) & (x < self.max)
        return np.clip(x, self.min, self.max), lambda grad: grad * inside


@dataclass(eq=False)
class Tanh(Module):
    """tanh(x). x: any shape -> same shape. Source: BigDL's Tanh."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = np.tanh(x)
        return y, lambda grad: grad * (1 - y * y)


@dataclass(eq=False)
class Sigmoid(Module):
    """1 / (1 + exp(-x)), without overflow. x: any shape -> same shape. Source: BigDL's Sigmoid."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = sigmoid(x)
        return y, lambda grad: grad * y * (1 - y)


@dataclass(eq=False)
class HardSigmoid(Module):
    """min(max(0.2 x + 0.5, 0), 1). x: any shape -> same shape. Source: BigDL's HardSigmoid."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        inside = (x > -2.5) & (x < 2.5)
        return np.clip(0.2 * x + 0.5, 0, 1), lambda grad: grad * 0.2 * inside


@dataclass(eq=False)
class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))). x: any shape -> same shape. Source: BigDL's LogSigmoid."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return -np.logaddexp(np.float32(0), -x), lambda grad: grad * sigmoid(-x)


def softmax_axis(x: Array, pos: int, label: str) -> int:
    """The axis of the classes: 0 without batch (1-D, 3-D), else `pos`, which counts from 0 with the batch."""
    if not 1 <= x.ndim <= 4:
        raise ValueError(f"{label}: got input {x.shape}, expected 1 to 4 dimensions")
    return 0 if pos == 1 and x.ndim in (1, 3) else pos


@dataclass(eq=False)
class SoftMax(Module):
    """exp(x) / sum of exp(x) over the classes: axis `pos` of (N, C) or (N, C, H, W), the first of (C,) or (C, H, W).

    x: (N, C), (C,), (N, C, H, W) or (C, H, W) -> same shape. Source: BigDL's SoftMax.
    """

    pos: int = 1

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = softmax_axis(x, self.pos, self.label())
        y = kernels.softmax(x, axis)
        return y, lambda grad: kernels.softmax_backward(grad, y, axis)


@dataclass(eq=False)
class SoftMin(Module):
    """SoftMax of -x. x: (N, C), (C,), (N, C, H, W) or (C, H, W) -> same shape. Source: BigDL's SoftMin."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = softmax_axis(x, 1, self.label())
        y = kernels.softmax(-x, axis)
        return y, lambda grad: -kernels.softmax_backward(grad, y, axis)


@dataclass(eq=False)
class LogSoftMax(Module):
    """log(SoftMax(x)), computed without overflow.

    x: (N, C), (C,), (N, C, H, W) or (C, H, W) -> same shape. Source: BigDL's LogSoftMax.
    """

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = softmax_axis(x, 1, self.label())
        y = kernels.log_softmax(x, axis)
        return y, lambda grad: kernels.log_softmax_backward(grad, y, axis)


@dataclass(eq=False)
class ELU(Module):
    """x where positive, else alpha (exp(x) - 1).

    x: any shape -> same shape. Source: BigDL's ELU; Clevert et al. 2016.
    """

    alpha: float = 1.0
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        alpha = float(self.alpha)
        y = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
        return y, lambda grad: grad * np.where(x > 0, np.float32(1), y + alpha)


@dataclass(eq=False)
class LeakyReLU(Module):
    """x where positive, else negval x. x: any shape -> same shape. Source: BigDL's LeakyReLU; Maas et al. 2013."""

    negval: float = 0.01
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        slope = np.where(x > 0, np.float32(1), float_type(x).type(self.negval))
        return x * slope, lambda grad: grad * slope


@dataclass(eq=False)
class RReLU(Module):
    """Leaky ReLU whose slope is drawn uniformly from [lower, upper] per element in training; in evaluation, their mean.

    x: any shape -> same shape. Source: BigDL's RReLU; Xu et al. 2015.
    """

    lower: float = 1.0 / 8
    upper: float = 1.0 / 3
    inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        drawn = RNG.uniform(self.lower, self.upper, x.shape) if self._training else (self.lower + self.upper) / 2
        slope = np.where(x > 0, np.float32(1), np.asarray(drawn, float_type(x)))
        return x * slope, lambda grad: grad * slope


@dataclass(eq=False)
class PReLU(Module):
    """x where positive, else weight x; one weight for all, or one per plane of dimension 2.

    x: any shape, (N, n_output_plane, ...) with one weight per plane -> same shape.
    weight: (1,) or (n_output_plane,), 0.25 at first.
    Source: BigDL's PReLU; He et al. 2015.

    Raises:
        ValueError: another number of planes.
    """

    n_output_plane: int = 0
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.weight = Parameter.create((max(self.n_output_plane, 1),), ConstInitMethod(0.25), (1, 1))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        is_per_plane = self.n_output_plane > 0
        if is_per_plane and (x.ndim < 2 or x.shape[1] != self.n_output_plane):
            raise ValueError(f"{self.label()}: got input {x.shape}, expected (N, {self.n_output_plane}, ...)")
        shape = (-1, *[1] * (x.ndim - 2)) if is_per_plane else (1,)
        slope = np.where(x > 0, np.float32(1), self.weight.value.reshape(shape))

        def pull(grad: Array) -> Array:
            product = grad * np.minimum(x, 0)
            self.weight.accumulate(channel_sum(product) if is_per_plane else product.sum().reshape(1))
            return grad * slope

        return x * slope, pull


@dataclass(eq=False)
class SoftPlus(Module):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > 20.

    x: any shape -> same shape. Source: BigDL's SoftPlus.
    """

    beta: float = 1.0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        beta = float(self.beta)
        y = np.where(beta * x > 20, x, np.logaddexp(np.float32(0), beta * x) / beta)
        return y, lambda grad: grad * sigmoid(beta * x)


@dataclass(eq=False)
class SoftSign(Module):
    """x / (1 + |x|). x: any shape -> same shape. Source: BigDL's SoftSign."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        size = 1 + np.abs(x)
        return x / size, lambda grad: grad / np.square(size)


@dataclass(eq=False)
class SoftShrink(Module):
    """x moved towards zero by the_lambda, zero within. x: any shape -> same shape. Source: BigDL's SoftShrink."""

    the_lambda: float = 0.5

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        outside = np.abs(x) > self.the_lambda
        return np.where(outside, x - np.sign(x) * float(self.the_lambda), 0), lambda grad: grad * outside


@dataclass(eq=False)
class HardShrink(Module):
    """x where |x| > the_lambda, else zero. x: any shape -> same shape. Source: BigDL's HardShrink."""

    the_lambda: float = 0.5

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        outside = np.abs(x) > self.the_lambda
        return x * outside, lambda grad: grad * outside


@dataclass(eq=False)
class TanhShrink(Module):
    """x - tanh(x). x: any shape -> same shape. Source: BigDL's TanhShrink."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        y = np.tanh(x)
        return x - y, lambda grad: grad * y * y


@dataclass(eq=False)
class Threshold(Module):
    """x where x > th, else v. x: any shape -> same shape. Source: BigDL's Threshold."""

    th: float = 1e-6
    v: float = 0.0
    ip: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        above = x > self.th
        return np.where(above, x, float_type(x).type(self.v)), lambda grad: grad * above


@dataclass(eq=False)
class BinaryThreshold(Module):
    """1 where x > th, else 0. As in BigDL the gradient passes unchanged where x > th, though the true one is zero.

    x: any shape -> same shape. Source: BigDL's BinaryThreshold.
    """

    th: float = 1e-6
    ip: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        above = x > self.th
        return above.astype(float_type(x)), lambda grad: grad * above


@dataclass(eq=False)
class SReLU(Module):
    """a_left (x - t_left) + t_left below t_left, a_right (x - t_right) + t_right above t_right, x in between.

    x: (N, *input_shape) -> same shape.
    Each of t_left, a_left, t_right and a_right is learned per element, and shared along `share_axes` (1-based, the
    batch does not count). They start at 0, uniform (Xavier), uniform (Xavier) and 1.
    Source: BigDL's SReLU; Jin et al. 2015.
    """

    input_shape: list[int]
    share_axes: list[int] | None = None
    t_left: Parameter = field(init=False, repr=False)
    a_left: Parameter = field(init=False, repr=False)
    t_right: Parameter = field(init=False, repr=False)
    a_right: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shared = self.share_axes or []
        shape = tuple(1 if axis + 1 in shared else side for axis, side in enumerate(self.input_shape))
        fans = int(np.prod(shape)), int(np.prod(shape))
        starts: dict[str, InitMethod] = {"t_left": Zeros(), "a_left": Xavier(), "t_right": Xavier(), "a_right": Ones()}
        for name, start in starts.items():
            setattr(self, name, Parameter.create(shape, start, fans))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        below, above = x <= self.t_left.value, x >= self.t_right.value
        left, right = x - self.t_left.value, x - self.t_right.value
        high = np.where(above, self.t_right.value + self.a_right.value * right, x)
        y = np.where(below, self.t_left.value + self.a_left.value * left, high)
        above = above & ~below

        def pull(grad: Array) -> Array:
            slopes = {
                "t_left": below * (1 - self.a_left.value),
                "a_left": below * left,
                "t_right": above * (1 - self.a_right.value),
                "a_right": above * right,
            }
            for name, slope in slopes.items():
                parameter: Parameter = getattr(self, name)
                parameter.accumulate(unbroadcast(grad * slope, (1, *parameter.value.shape))[0])
            return grad * np.where(below, self.a_left.value, np.where(above, self.a_right.value, 1))

        return y, pull


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    half = 0.5
    result: Array = half * np.tanh(half * x) + half
    return result
