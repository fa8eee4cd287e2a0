"""How numbers are stored where not as fp32: bf16, or whole numbers of eight bits times a scale."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dlcore.activity import Array
from dlcore.kernels import cpu

TYPES: dict[str, DTypeLike] = {"fp32": np.float32, "bf16": np.uint16, "u8": np.uint8, "s8": np.int8}
"""Number -> the type of the arrays that hold it; numpy has none of bf16, so that these hold its bits."""
LARGEST = {"u8": 255, "s8": 127}
NARROW = 63
"""The largest weight of eight bits where two products are added in sixteen."""


class Form(NamedTuple):
    """The form of an array's numbers: a kind of `TYPES`, and the `scale` that each is multiplied with."""

    number: str
    scale: float = 1.0

    @property
    def precision(self) -> str:
        """The precision of the arithmetic that takes it: "fp32", "bf16" or "int8"."""
        return "int8" if self.number in LARGEST else self.number


FP32, BF16 = Form("fp32"), Form("bf16")


def integers(low: float, high: float) -> Form:
    """Eight bits for values between `low` and `high`: unsigned where none is negative, else as far below 0 as above."""
    number = "u8" if low >= 0 else "s8"
    return Form(number, max(abs(low), abs(high), 1e-30) / LARGEST[number])


def largest_weight() -> int:
    """The largest weight of eight bits on this CPU."""
    return LARGEST["s8"] if cpu.multiplies_bytes() else NARROW


class Scaled(NamedTuple):
    """Weights (O, ...) in eight bits, and what a primitive computes with: `factors` (O,) for sums of products, bias
    (O,), ceiling; the result is divided by `divisor`, last of all.
    """

    weight: NDArray[np.int8]
    factors: Array
    bias: Array
    ceiling: float
    divisor: float


def scaled(weight: Array, bias: Array, ceiling: float, x: Form, residual: Form | None, y: Form) -> Scaled:
    """Each row of `weight` with a scale of its own.

    All is computed in units of the residual's scale, so that its whole numbers are added as they are. oneDNN itself
    halves the weights of convolutions of signed bytes where two products are added in sixteen bits: those are given
    twice as large.
    """
    rows = weight.reshape(len(weight), -1)
    is_halved = not cpu.multiplies_bytes() and x.number == "s8" and weight.ndim > 2
    largest = largest_weight() * (2 if is_halved else 1)
    step = np.maximum(np.abs(rows).max(axis=1, initial=0.0), 1e-30).astype(np.float64) / largest
    whole = np.rint(rows / step[:, None]).astype(np.int8).reshape(weight.shape)
    unit = y.scale if residual is None else residual.scale
    factors = (step * (x.scale / unit)).astype(np.float32)
    return Scaled(whole, factors, (bias / unit).astype(np.float32), ceiling / unit, y.scale / unit)


Stored: TypeAlias = NDArray[Any]
"""An array of any type of `TYPES`."""
