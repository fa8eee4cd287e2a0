"""Weight and bias of the layers that have them: how they are drawn, and given."""

import numpy as np

from dlcore.activity import Array
from dlcore.nn.init import InitMethod, RandomUniform, Shape
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.regularizer import L1L2Regularizer

Regularizer = L1L2Regularizer


def needed(grad: Array | None) -> Array:
    """A gradient that was asked for, of a kernel that gives None for those that were not."""
    if grad is None:
        raise RuntimeError("got no gradient from the kernel, expected one")
    return grad


def default_init(fan_in: int) -> InitMethod:
    """BigDL's default: uniform within 1 / sqrt(fan_in)."""
    bound = 1.0 / float(np.sqrt(fan_in))
    return RandomUniform(bound, -bound)


def create_weights(
    module: Module,
    weight: Shape,
    bias: Shape | None,
    fans: tuple[int, int],
    initial: tuple[Array | None, Array | None],
    regularizers: tuple[Regularizer | None, Regularizer | None] = (None, None),
    init: InitMethod | None = None,
    initial_grads: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Parameter, Parameter | None]:
    """Weight then bias, drawn by the default method (or `init`), then overwritten where `initial` gives values.

    initial_grads: what their gradients begin with, in any shape of their size.

    Raises:
        ValueError: a given value has another shape.
    """
    method = default_init(fans[0]) if init is None else init
    parameters = [Parameter.create(weight, method, fans, regularizers[0])]
    if bias is not None:
        parameters.append(Parameter.create(bias, method, fans, regularizers[1]))
    for name, parameter, value in zip(("weight", "bias"), parameters, initial, strict=False):
        if value is None:
            continue
        expected = module.exported(name, parameter.value).shape
        if np.shape(value) not in (expected, parameter.value.shape):
            raise ValueError(f"{module.label()}: got init_{name} of shape {np.shape(value)}, expected {expected}")
        given = np.asarray(value, np.float32)
        parameter.assign(module.imported(name, given) if given.shape == expected else given)
    for parameter, grad in zip(parameters, initial_grads, strict=False):
        if grad is not None:
            parameter.grad[...] = np.asarray(grad, np.float32).reshape(parameter.value.shape)
    return parameters[0], parameters[1] if bias is not None else None
