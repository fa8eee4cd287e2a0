"""Fully connected layers."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.layers.activation import sigmoid
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pullback import SelectivePullback
from dlcore.nn.weights import Regularizer, create_weights, needed

__all__ = ["Cosine", "Euclidean", "Highway", "Linear", "Maxout"]

_TINY = np.float32(1e-12)


@dataclass(eq=False)
class Linear(Module):
    """y = x W^T + b.

    x: (N, input_size) or (input_size,) -> (N, output_size) or (output_size,); weight (output_size, input_size).
    Source: BigDL's Linear.

    Raises:
        ValueError: another shape of input.
    """

    input_size: int
    output_size: int
    with_bias: bool = True
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    init_weight: InitVar[Array | None] = None
    init_bias: InitVar[Array | None] = None
    init_grad_weight: InitVar[Array | None] = None
    init_grad_bias: InitVar[Array | None] = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self, *initial: Array | None) -> None:
        self.weight, self.bias = create_weights(
            self,
            (self.output_size, self.input_size),
            (self.output_size,) if self.with_bias else None,
            (self.input_size, self.output_size),
            (self.wRegularizer, self.bRegularizer),
            initial=initial,
        )

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{self.label()}: got input {x.shape}, expected (N, {self.input_size}); put a Reshape before it or "
                f"build "
                f"it with input_size={x.shape[-1] if x.ndim else 1}"
            )
        rows = np.ascontiguousarray(x).reshape(-1, self.input_size)
        weight, bias = self.weight, self.bias
        y = kernels.linear(rows, weight.value, None if bias is None else bias.value)

        def pull(grad: Array, needs_x: bool) -> Array | None:
            grad_rows = np.ascontiguousarray(grad).reshape(-1, self.output_size)
            need_w, has_bias = not weight.frozen, bias is not None and not bias.frozen
            grad_x, grad_w, grad_b = kernels.linear_backward(rows, weight.value, grad_rows, needs_x, need_w, has_bias)
            if grad_w is not None and need_w:
                weight.accumulate(grad_w)
            if bias is not None and has_bias:
                bias.accumulate(grad_rows.sum(axis=0) if grad_b is None else grad_b)
            return needed(grad_x).reshape(x.shape) if needs_x else None

        return y.reshape(*x.shape[:-1], self.output_size), SelectivePullback(pull)


@dataclass(eq=False)
class Cosine(Module):
    """The cosines between the input and each row of weight.

    x: (N, input_size) -> (N, output_size); weight (output_size, input_size).
    Source: BigDL's Cosine.
    """

    input_size: int
    output_size: int
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fans = (self.input_size, self.output_size)
        self.weight, _ = create_weights(self, (self.output_size, self.input_size), None, fans)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        size = np.sqrt(np.square(x).sum(axis=-1, keepdims=True) + _TINY)
        length = np.sqrt(np.square(self.weight.value).sum(axis=1, keepdims=True) + _TINY)
        unit, direction = x / size, self.weight.value / length
        y = unit @ direction.T

        def pull(grad: Array) -> Array:
            product = grad * y
            along = grad.reshape(-1, self.output_size).T @ unit.reshape(-1, self.input_size)
            summed = product.reshape(-1, self.output_size).sum(axis=0)[:, None]
            self.weight.accumulate((along - summed * direction) / length)
            back: Array = (grad @ direction - product.sum(axis=-1, keepdims=True) * unit) / size
            return back

        return y, pull


@dataclass(eq=False)
class Euclidean(Module):
    """The distances between the input and each column of weight.

    x: (N, input_size) -> (N, output_size); weight (input_size, output_size).
    Source: BigDL's Euclidean.
    """

    input_size: int
    output_size: int
    fast_backward: bool = True
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fans = (self.input_size, self.output_size)
        self.weight, _ = create_weights(self, (self.input_size, self.output_size), None, fans)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        gap = x[..., None] - self.weight.value
        y = np.sqrt(np.square(gap).sum(axis=-2))

        def pull(grad: Array) -> Array:
            slope = (grad / np.maximum(y, _TINY))[..., None, :] * gap
            self.weight.accumulate(-slope.reshape(-1, self.input_size, self.output_size).sum(axis=0))
            back: Array = slope.sum(axis=-1)
            return back

        return y, pull


@dataclass(eq=False)
class Maxout(Module):
    """The largest of `maxout_number` linear functions for each output.

    x: (N, input_size) -> (N, output_size).
    weight: (maxout_number * output_size, input_size), the outputs running fastest.
    Source: BigDL's Maxout; Goodfellow et al. 2013.
    """

    input_size: int
    output_size: int
    maxout_number: int
    with_bias: bool = True
    w_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    init_weight: InitVar[Array | None] = None
    init_bias: InitVar[Array | None] = None
    inner: Linear = field(init=False, repr=False)

    def __post_init__(self, *initial: Array | None) -> None:
        width = self.output_size * self.maxout_number
        regularizers = self.w_regularizer, self.b_regularizer
        self.inner = Linear(self.input_size, width, self.with_bias, *regularizers, *initial)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        wide, pullback = self.inner.apply(x)
        pieces = wide.reshape(-1, self.maxout_number, self.output_size)
        chosen = pieces.argmax(axis=1)[:, None]
        y = np.take_along_axis(pieces, chosen, axis=1).reshape(*x.shape[:-1], self.output_size)

        def pull(grad: Array) -> Array:
            back = np.zeros_like(pieces)
            np.put_along_axis(back, chosen, grad.reshape(-1, 1, self.output_size), axis=1)
            result: Array = pullback(back.reshape(wide.shape))
            return result

        return y, pull


@dataclass(eq=False)
class Highway(Module):
    """t a(L1 x) + (1 - t) x, t = sigmoid(L2 x); activation a: a layer or None.

    x: (N, size) -> same shape.
    Source: BigDL's Highway; Srivastava et al. 2015.
    """

    size: int
    with_bias: bool = True
    activation: Module | None = None
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    gate: Linear = field(init=False, repr=False)
    transform: Linear = field(init=False, repr=False)

    def __post_init__(self) -> None:
        options = self.with_bias, self.wRegularizer, self.bRegularizer
        self.gate = Linear(self.size, self.size, *options)
        self.transform = Linear(self.size, self.size, *options)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        opening, pull_gate = self.gate.apply(x)
        share = sigmoid(opening)
        carried, pull_transform = self.transform.apply(x)
        pull_activation: Pullback | None = None
        if self.activation is not None:
            carried, pull_activation = self.activation.apply(carried)

        def pull(grad: Array) -> Array:
            through = grad * share
            through = through if pull_activation is None else pull_activation(through)
            opened = grad * (carried - x) * share * (1 - share)
            back: Array = pull_transform(through) + pull_gate(opened) + grad * (1 - share)
            return back

        return share * carried + (1 - share) * x, pull
