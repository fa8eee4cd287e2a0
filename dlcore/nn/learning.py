"""What BigDL's layers offer for their weights beside the mathematics: the methods of these names, which `surface`
attaches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.nn.init import InitMethod
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter, stretches
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.number_type import FLOATS
from dlcore.rng import RNG


def get_parameters(module: Module, weights: Array | None = None, grads: Array | None = None) -> tuple[Array, Array]:
    """(weights, gradients) as two flat arrays (P,) of which the parameters are views from now on.

    Pass arrays to choose the memory, for example shared memory. A second call without arrays gives the same ones.
    """
    parameters = list(module.named_parameters().values())
    if module._flat is not None and weights is None and grads is None and _are_views(parameters, *module._flat):
        return module._flat
    size = sum(parameter.value.size for parameter in parameters)
    kind = np.result_type(np.float32, *{parameter.value.dtype for parameter in parameters})
    weights = np.empty(size, kind) if weights is None else weights
    grads = np.empty(size, kind) if grads is None else grads
    for parameter, place in stretches(parameters):
        parameter.move_into(weights[place], grads[place])
    module._flat = weights, grads
    return weights, grads


def _are_views(parameters: list[Parameter], weights: Array, grads: Array) -> bool:
    """Whether the parameters fill the flat arrays: none was moved out, tied to another, or added since."""
    return weights.size == sum(parameter.value.size for parameter in parameters) and all(
        np.may_share_memory(parameter.value, weights) and np.may_share_memory(parameter.grad, grads)
        for parameter in parameters
    )


def get_weights(module: Module) -> list[Array]:
    """The parameters' values in BigDL's order and shapes (a convolution's weight is 5-D), as copies."""
    return [owner.exported(name, parameter.value).copy() for owner, name, parameter in _owned(module)]


def set_weights(module: Module, weights: Iterable[Array] | Mapping[str, Any]) -> None:
    """Copy in what `get_weights` gives, or the weights of some layers by name: the others stay.

    weights: one array for each parameter, in order, or the only one; or a mapping of dotted paths (`{"fc.weight":
    array}`) or of layers' names (`{"fc": [weight, bias]}`, `{"fc": {"bias": array}}`). An array of another shape but as
    many elements is taken row by row, with a warning, as BigDL takes it without.

    Raises:
        KeyError: there is no such path, name or parameter.
        ValueError: another number of arrays, or of elements.
    """
    if isinstance(weights, Mapping):
        _set_named(module, weights)
        return
    given = [weights] if isinstance(weights, np.ndarray) else list(weights)
    owned = list(_owned(module))
    if len(given) != len(owned):
        raise ValueError(f"{module.label()}: got {len(given)} arrays, expected {len(owned)}")
    values = [_fitted(value, *place) for value, place in zip(given, owned, strict=True)]
    for value, (_, _, parameter) in zip(values, owned, strict=True):
        parameter.assign(value)


def _set_named(module: Module, weights: Mapping[str, Any]) -> None:
    places = {path: (owner, name, parameter) for path, owner, name, parameter in module.holders(Parameter)}
    for name, value in weights.items():
        if name in places:
            places[name][2].assign(_fitted(value, *places[name]))
            continue
        layer = module if name == module.name() else module.find(name)
        set_weights(layer, _by_parameter(layer, value) if isinstance(value, Mapping) else value)


def _by_parameter(layer: Module, given: Mapping[str, Any]) -> list[Any]:
    """All weights of `layer`, those that are `given` by their own name ("weight") in place of its own."""
    own = {name: layer.exported(name, parameter.value) for _, name, parameter in _owned(layer)}
    if unknown := given.keys() - own.keys():
        raise KeyError(f"{layer.label()}: got weights called {sorted(unknown)}, expected some of {list(own)}")
    return [given.get(name, value) for name, value in own.items()]


def _fitted(value: Any, owner: Module, name: str, parameter: Parameter) -> Array:
    """`value` in the shape of `parameter`, which is the parameter `name` of `owner`."""
    array = np.asarray(value)
    expected = owner.exported(name, parameter.value).shape
    if array.shape == parameter.value.shape != expected:
        return array
    if array.shape != expected:
        if array.size != parameter.value.size:
            raise ValueError(f"{owner.label()}: got {name} of shape {array.shape}, expected {expected}")
        warnings.warn(
            f"{owner.label()}: got {name} of shape {array.shape}, expected {expected}; it is taken row by row",
            stacklevel=4,
        )
    return owner.imported(name, array.reshape(expected))


def parameters(module: Module) -> dict[str, dict[str, Array]]:
    """The weights of each layer that has some, by its name or, without one, its path: {"fc": {"weight": ..., "bias":
    ..., "gradWeight": ..., "gradBias": ...}}, in BigDL's shapes. `named_parameters` has what training works on."""
    found: dict[str, dict[str, Array]] = {}
    for path, owner, name, parameter in module.holders(Parameter):
        layer = found.setdefault(owner._name or path.rpartition(".")[0] or owner.name(), {})
        layer[name] = owner.exported(name, parameter.value)
        layer[f"grad{name[:1].upper()}{name[1:]}"] = owner.exported(name, parameter.grad)
    for path, owner, name, buffer in module.holders(Buffer):
        key = owner._name or path.rpartition(".")[0] or owner.name()
        found.setdefault(key, {})[_BUFFERS.get(name, name)] = buffer.value
    return found


_BUFFERS = {"running_mean": "runningMean", "running_var": "runningVar"}
"""What BigDL calls the buffers of a layer."""


def get_dtype(module: Module) -> str:
    """The type that the layer computes in, "float32" or "float64"."""
    return FLOATS[module.bigdl_type].name


def _owned(module: Module) -> Iterator[tuple[Module, str, Parameter]]:
    listed = module.named_parameters()
    for path, owner, name, parameter in module.holders(Parameter):
        if path in listed:
            yield owner, name, parameter


def is_with_weights(module: Module) -> bool:
    """Whether there are parameters."""
    return bool(module.named_parameters())


def zero_grad_parameters(module: Module) -> None:
    """Set all gradients to zero."""
    for parameter in module.named_parameters().values():
        parameter.zero_grad()


def update_parameters(module: Module, learning_rate: float) -> None:
    """One plain gradient step."""
    for parameter in module.named_parameters().values():
        if not parameter.frozen:
            parameter.value -= parameter.value.dtype.type(learning_rate) * parameter.grad


def reset(module: Module) -> Module:
    """Draw all parameters anew from the process's generator."""
    for parameter in module.named_parameters().values():
        parameter.reset()
    return module


def set_seed(module: Module, seed: int = 123) -> Module:
    """Seed the generator of the whole process, as in BigDL."""
    RNG.set_seed(seed)
    return module


def set_init_method(
    module: Module, weight_init_method: InitMethod | None = None, bias_init_method: InitMethod | None = None
) -> Module:
    """Draw `weight` and `bias` anew by these methods; None leaves one as it is. What a layer that has the other does
    not have is left out, with a warning: BigDL says nothing.

    Raises:
        TypeError: the layer has neither.
    """
    given = (("weight", weight_init_method), ("bias", bias_init_method))
    has_one = any(isinstance(vars(module).get(name), Parameter) for name, _ in given)
    for name, method in given:
        if method is None:
            continue
        if has_one and not isinstance(vars(module).get(name), Parameter):
            warnings.warn(f"{module.label()}: got a setting for {name}, which this layer does not have", stacklevel=2)
            continue
        parameter = _own(module, name)
        parameter.init = method
        parameter.reset()
    return module


def set_weight_regularizer(module: Module, wRegularizer: L1L2Regularizer) -> None:
    """Set the penalty of `weight`.

    Raises:
        TypeError: the layer has no such parameter.
    """
    _own(module, "weight").regularizer = wRegularizer


def set_bias_regularizer(module: Module, bRegularizer: L1L2Regularizer) -> None:
    """Set the penalty of `bias`.

    Raises:
        TypeError: the layer has no such parameter.
    """
    _own(module, "bias").regularizer = bRegularizer


def _own(module: Module, name: str) -> Parameter:
    parameter = vars(module).get(name)
    if not isinstance(parameter, Parameter):
        raise TypeError(f"{module.label()}: got a setting for {name}, which this layer does not have")
    return parameter


def freeze(module: Module, names: str | Iterable[str] | None = None) -> Module:
    """Stop learning in all layers of these names or dotted paths, and all inside them; in all layers without names.

    Raises:
        KeyError: a name does not exist.
    """
    return _set_frozen(module, names, True)


def unfreeze(module: Module, names: str | Iterable[str] | None = None) -> Module:
    """Undo `freeze`."""
    return _set_frozen(module, names, False)


def _set_frozen(module: Module, names: str | Iterable[str] | None, is_frozen: bool) -> Module:
    wanted = [names] if isinstance(names, str) else list(names or ())
    for part in [module] if names is None else [part for name in wanted for part in _named(module, name)]:
        for parameter in part.named_parameters().values():
            parameter.frozen = is_frozen
    return module


def _named(module: Module, name: str) -> list[Module]:
    found = [part for path, part in module.named_modules() if name in (part._name, path)]
    return found or [module.find(name)]
