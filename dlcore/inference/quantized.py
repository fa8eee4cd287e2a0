"""Models whose layers compute with numbers of eight bits, as `model.quantize()` of BigDL's makes them.

They need no samples: what a layer takes is scaled anew each time. They say what eight bits do to a model; what makes it
fast as well is `compile(model, shape, "int8", calibration=calibrate(model, samples))`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn import layer
from dlcore.nn.module import Module

LARGEST = np.float32(127)


def rounded(x: Array, samples: int) -> Array:
    """`x` as whole numbers from -127 to 127 times a scale, for each of `samples` along the first axis: max |x| /
    127."""
    rows = x.reshape(samples, -1)
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    scale = np.where(largest > 0, largest, np.float32(1)) / LARGEST
    found: Array = (np.rint(rows / scale) * scale).astype(np.float32).reshape(x.shape)
    return found


class Quantized(Module, namespace="quantized"):
    """The parent of the layers below: inputs are rounded, and there is no backward pass."""

    def __repr__(self) -> str:
        return f"quantized.{super().__repr__()}"

    def type_name(self) -> str:
        return f"quantized.{super().type_name()}"

    def _applied(self, kind: Any, x: Array, unit: int) -> tuple[Array, Pullback]:
        """What `kind` gives for `x`, whose samples have `unit` dimensions, rounded."""
        y, _ = kind.apply(self, rounded(x, len(x) if x.ndim > unit else 1))
        return y, self._refuse

    def _refuse(self, grad: Array) -> Array:
        raise TypeError(
            f"{self.label()}: got a backward pass, expected predictions alone; train the model and quantize it anew"
        )


class Linear(Quantized, layer.Linear, namespace="quantized"):
    """A Linear with weights, and for each sample inputs, in eight bits.

    x: (N, input_size) or (input_size,) -> (N, output_size) or (output_size,).
    Source: BigDL's quantized.Linear.
    """

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return self._applied(layer.Linear, x, 1)


class SpatialConvolution(Quantized, layer.SpatialConvolution, namespace="quantized"):
    """A SpatialConvolution with weights, and for each picture inputs, in eight bits; BigDL's scales each window of a
    picture apart.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W').
    Source: BigDL's quantized.SpatialConvolution.
    """

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return self._applied(layer.SpatialConvolution, x, 3)


class SpatialDilatedConvolution(Quantized, layer.SpatialDilatedConvolution, namespace="quantized"):
    """A SpatialDilatedConvolution with weights, and for each picture inputs, in eight bits.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W').
    Source: BigDL's quantized.SpatialDilatedConvolution.
    """

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return self._applied(layer.SpatialDilatedConvolution, x, 3)


KINDS: dict[type[Module], type[Module]] = {
    layer.Linear: Linear,
    layer.SpatialConvolution: SpatialConvolution,
    layer.SpatialDilatedConvolution: SpatialDilatedConvolution,
}
"""Layers -> what they become; subclasses of them stay as they are."""


def quantize(model: Module) -> Module:
    """A copy of `model` for prediction whose linear layers and convolutions compute with numbers of eight bits.

    Each row or plane of weights is rounded to multiples of its largest size / 127, and so is what a layer takes. All
    else is as it was.

    Example:
        >>> print(quantize(layer.Linear(3, 2)))  # doctest: +ELLIPSIS
        quantized.Linear(input_size=3, output_size=2, ...)
    """
    own: Module = model.clone().evaluate()
    for _, part in own.named_modules():
        if type(part) in KINDS:
            part.__class__ = KINDS[type(part)]
            weight: Any = part.weight
            weight.value = rounded(weight.value, len(weight.value))
    return own
