"""Activations and initialisations by Keras's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from dlcore.activity import Array
from dlcore.nn.container import Bottle, Sequential
from dlcore.nn.init import InitMethod, Ones, RandomNormal, RandomUniform, Shape, Xavier, Zeros
from dlcore.nn.layers.activation import (
    ELU,
    HardSigmoid,
    LogSigmoid,
    LogSoftMax,
    ReLU,
    ReLU6,
    Sigmoid,
    SoftMax,
    SoftPlus,
    SoftSign,
    Tanh,
)
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.number_type import made_type
from dlcore.rng import RNG

Regularizer = L1L2Regularizer
Named = TypeVar("Named")


@dataclass(frozen=True)
class ScaledByFans(InitMethod):
    """Weights of variance gain / fan, uniform or normal; fan is fan_in, or with `is_average` the mean of fan_in and
    fan_out.

    Source: Keras's lecun, glorot and he initialisations.
    """

    gain: float
    is_average: bool = False
    is_normal: bool = False

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        deviation = float(np.sqrt(self.gain / ((fan_in + fan_out) / 2 if self.is_average else fan_in)))
        if self.is_normal:
            return RNG.normal(0.0, deviation, shape, made_type())
        bound = deviation * float(np.sqrt(3.0))
        return RNG.uniform(-bound, bound, shape, made_type())


@dataclass(frozen=True)
class Orthogonal(InitMethod):
    """Square blocks, one below the other, whose rows are orthogonal and of length 1. Source: Saxe et al. 2014."""

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        blocks = RNG.normal(0.0, 1.0, (shape[0] // shape[1], shape[1], shape[1]), np.float64)
        return np.linalg.qr(blocks)[0].reshape(shape).astype(made_type())


INITS: dict[str, InitMethod] = {
    "glorot_normal": ScaledByFans(1.0, is_average=True, is_normal=True),
    "glorot_uniform": Xavier(),
    "he_normal": ScaledByFans(2.0, is_normal=True),
    "he_uniform": ScaledByFans(2.0),
    "lecun_uniform": ScaledByFans(1.0),
    "normal": RandomNormal(0.0, 0.05),
    "one": Ones(),
    "orthogonal": Orthogonal(),
    "uniform": RandomUniform(0.05, -0.05),
    "zero": Zeros(),
}
"""Initialisation by name."""

ACTIVATIONS: dict[str, Callable[[int], Module]] = {
    "elu": lambda _: ELU(),
    "hard_sigmoid": lambda _: HardSigmoid(),
    "log_sigmoid": lambda _: LogSigmoid(),
    "log_softmax": lambda rank: LogSoftMax() if rank == 1 else Bottle(LogSoftMax()),
    "relu": lambda _: ReLU(),
    "relu6": lambda _: ReLU6(),
    "sigmoid": lambda _: Sigmoid(),
    "softmax": SoftMax,
    "softplus": lambda _: SoftPlus(),
    "softsign": lambda _: SoftSign(),
    "tanh": lambda _: Tanh(),
}
"""Activation by name, made for an input of so many dimensions without the batch; the softmax is that of the last
one."""


def one_of(table: Mapping[str, Named], name: Any, what: str) -> Named:
    """The entry of `table` called `name`, in capitals or not.

    Raises:
        ValueError: there is none.
    """
    found = table.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"got {what} {name!r}, expected one of {', '.join(table)}")
    return found


def activation_of(given: str | Module | None, rank: int) -> Module | None:
    """The layer of a name, for `rank` dimensions without the batch; a layer is itself, None and "linear" are none.

    Raises:
        ValueError: another name.
    """
    if given is None or given == "linear" or isinstance(given, Module):
        return given if isinstance(given, Module) else None
    return one_of(ACTIVATIONS, given, "activation")(rank)


def chain(*parts: Module | None) -> Module:
    """The parts that are there, one after the other."""
    present = [part for part in parts if part is not None]
    if len(present) == 1:
        return present[0]
    whole = Sequential()
    for part in present:
        whole.add(part)
    return whole


def start(parameter: Parameter | None, init: str, regularizer: Regularizer | None = None) -> None:
    """Draw `parameter`, if there is one, by the initialisation `init`, and give it its penalty.

    Raises:
        ValueError: there is no such initialisation.
    """
    if parameter is not None:
        parameter.init = one_of(INITS, init, "initialisation")
        parameter.reset()
        parameter.regularizer = regularizer


def start_weights(layer: Any, module: Any) -> Any:
    """`module`, whose weight and bias begin as the Keras layer's arguments say: init, W_regularizer, b_regularizer,
    bias."""
    start(module.weight, getattr(layer, "init", "glorot_uniform"), layer.W_regularizer)
    if not layer.bias:
        module.bias = None
    start(module.bias, "zero", layer.b_regularizer)
    return module
