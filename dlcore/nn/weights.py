"""Weight and bias of the layers that have them: how they are drawn, and given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from dlcore.activity import Array
from dlcore.nn.init import InitMethod, RandomUniform, Shape
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.number_type import type_name

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


def require_sizes(module: Module, shape: Shape) -> None:
    """Raise ValueError unless `module` can have weights of `shape`."""
    if not all(isinstance(size, (int, np.integer)) and size >= 1 for size in shape):
        raise ValueError(f"{module.label()}: got weights of shape {shape}, expected whole numbers from 1 on")


def create_weights(
    module: Module,
    weight: Shape,
    bias: Shape | None,
    fans: tuple[int, int],
    regularizers: tuple[Regularizer | None, Regularizer | None] = (None, None),
    init: InitMethod | None = None,
    initial: Sequence[Array | None] = (),
) -> tuple[Parameter, Parameter | None]:
    """Weight then bias, drawn by the default method (or `init`), then what is `initial`: see `take_initial`.

    Raises:
        ValueError: a size is no whole number above 0, or a given value has another shape.
    """
    require_sizes(module, weight)
    method = default_init(fans[0]) if init is None else init
    first = Parameter.create(weight, method, fans, regularizers[0])
    second = None if bias is None else Parameter.create(bias, method, fans, regularizers[1])
    take_initial(module, (first, second), initial)
    return first, second


def take_initial(
    module: Module, parameters: tuple[Parameter | None, Parameter | None], initial: Sequence[Array | None]
) -> None:
    """Let weight and bias begin with what is given, where it is not None.

    initial: init_weight, init_bias, init_grad_weight, init_grad_bias, as many as the layer has; values in the
    parameter's shape or BigDL's, gradients in any shape of their size.

    Raises:
        ValueError: a given value has another shape.
    """
    for name, parameter, value in zip(("weight", "bias"), parameters, initial, strict=False):
        if parameter is None or value is None:
            continue
        expected = module.exported(name, parameter.value).shape
        if np.shape(value) not in (expected, parameter.value.shape):
            raise ValueError(f"{module.label()}: got init_{name} of shape {np.shape(value)}, expected {expected}")
        given = np.asarray(value)
        parameter.assign(module.imported(name, given) if given.shape == expected else given)
    for parameter, grad in zip(parameters, initial[2:], strict=False):
        if parameter is not None and grad is not None:
            parameter.grad[...] = np.reshape(grad, parameter.value.shape)


def cast(module: Module, kind: DTypeLike) -> None:
    """Let all layers compute in `kind`, float32 or float64, and their parameters and buffers be of it; gradients begin
    anew.

    Raises:
        ValueError: another type.
    """
    for _, part in module.named_modules():
        part.bigdl_type = type_name(kind)
    for parameter in module.named_parameters().values():
        parameter.value = parameter.value.astype(kind)
        parameter.forget_grad()
    for buffer in module.buffers().values():
        buffer.value = buffer.value.astype(kind)


def tied(module: Module) -> dict[str, str]:
    """Dotted path -> the path under which `named_parameters` or `buffers` lists it, of those that several layers
    hold."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for path, (_, _, holder) in _held(module).items():
        if first.setdefault(id(holder), path) != path:
            found[path] = first[id(holder)]
    return found


def tie(module: Module, path: str, to: str) -> None:
    """Let the layer that holds `path` hold what `to` is from now on: `tie(model, "1.weight", "0.weight")`.

    Raises:
        ValueError: there is no such path, or the shapes differ.
    """
    held = _held(module)
    if path not in held or to not in held or held[path][2].value.shape != held[to][2].value.shape:
        raise ValueError(f"{module.label()}: got {path!r} and {to!r} to tie, expected two parameters of one shape")
    owner, name, _ = held[path]
    setattr(owner, name, held[to][2])


def _held(module: Module) -> dict[str, tuple[Module, str, Parameter | Buffer]]:
    """(layer, attribute, what it holds) by dotted path."""
    found: dict[str, tuple[Module, str, Parameter | Buffer]] = {}
    for path, owner, name, parameter in module.holders(Parameter):
        found[path] = owner, name, parameter
    for path, owner, name, buffer in module.holders(Buffer):
        found[path] = owner, name, buffer
    return found
