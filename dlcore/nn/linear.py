"""Fully connected layers."""

from dataclasses import InitVar, dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.convolution import Regularizer, create_weights, needed
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter


@dataclass(eq=False)
class Linear(Module):
    """y = x W^T + b.

    x: (N, input_size) or (input_size,) -> (N, output_size) or (output_size,); weight (output_size, input_size).

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

    def __post_init__(
        self,
        init_weight: Array | None,
        init_bias: Array | None,
        init_grad_weight: Array | None,
        init_grad_bias: Array | None,
    ) -> None:
        self.weight, self.bias = create_weights(
            self,
            (self.output_size, self.input_size),
            (self.output_size,) if self.with_bias else None,
            (self.input_size, self.output_size),
            (init_weight, init_bias),
            (self.wRegularizer, self.bRegularizer),
        )
        for parameter, grad in ((self.weight, init_grad_weight), (self.bias, init_grad_bias)):
            if parameter is not None and grad is not None:
                parameter.grad[...] = np.asarray(grad, np.float32)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{self.label()}: got input {x.shape}, expected (N, {self.input_size}); put a Reshape before it or build "
                f"it with input_size={x.shape[-1] if x.ndim else 1}"
            )
        rows = np.ascontiguousarray(x).reshape(-1, self.input_size)
        weight, bias = self.weight, self.bias
        y = kernels.linear(rows, weight.value, None if bias is None else bias.value)

        def pull(grad: Array) -> Array:
            grad_rows = np.ascontiguousarray(grad).reshape(-1, self.output_size)
            need_w, has_bias = not weight.frozen, bias is not None and not bias.frozen
            grad_x, grad_w, grad_b = kernels.linear_backward(rows, weight.value, grad_rows, True, need_w, has_bias)
            if grad_w is not None and need_w:
                weight.accumulate(grad_w)
            if bias is not None and has_bias:
                bias.accumulate(grad_rows.sum(axis=0) if grad_b is None else grad_b)
            return needed(grad_x).reshape(x.shape)

        return y.reshape(*x.shape[:-1], self.output_size), pull
