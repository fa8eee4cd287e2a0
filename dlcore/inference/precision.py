"""The precision of a plan: which operations compute in fewer bits, and how the results between them are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dlcore.inference.dispatch import rule_of
from dlcore.inference.forms import BF16, FP32, Form, largest_weight
from dlcore.inference.fuse import Product, Weighted, suits_winograd, uses
from dlcore.inference.trace import Layer, Network, Op
from dlcore.inference.trace import leaves as ops_of
from dlcore.kernels import cpu
from dlcore.nn.layer import InferReshape, Reshape, SpatialMaxPooling, View

PRECISIONS = ("fp32", "bf16", "int8")
PRODUCT_WEIGHTS = ("fp32", "bf16")
FEW_ROWS = 16
"""Up to so many rows a product takes the time of reading its weights, so that half the bytes are half the time on any
CPU."""


def effective(name: str) -> str:
    """What `name` of `PRECISIONS`, forced, comes to here: another text where the CPU or the kernels in use make other
    numbers of it."""
    if name == "int8" and uses("onednn"):
        return f"int8 {'with' if cpu.multiplies_bytes() else 'without'} VNNI, weights up to {largest_weight()}"
    return "bf16" if name == "bf16" and uses("onednn") and cpu.instruction_set() == "avx512" else "fp32"


@dataclass(frozen=True)
class Precision:
    """A plan's arithmetic.

    name: of `PRECISIONS`. product_weights: what those of products are stored in where `name` is fp32. is_forced: bf16
    also where fp32 is faster here. rows: of a batch; 0 where unknown.
    """

    name: str = "fp32"
    product_weights: str = "fp32"
    is_forced: bool = False
    rows: int = 0

    def of(self, op: Weighted) -> str:
        """The precision in which a convolution or product computes; fp32 if oneDNN is not in use, or cannot do it."""
        if self.is_in_integers():
            return "int8"
        wanted = "bf16" in (self.name, self.product_weights if isinstance(op, Product) else "")
        return "bf16" if wanted and effective("bf16") == "bf16" and self._pays(op) else "fp32"

    def is_in_integers(self) -> bool:
        """Whether convolutions and products compute in eight bits."""
        return self.name == "int8" and uses("onednn")

    def _pays(self, op: Weighted) -> bool:
        if self.is_forced or cpu.has_tiles():
            return True
        if isinstance(op, Product) and 0 < self.rows <= FEW_ROWS:
            return True
        return cpu.is_fast_in_bf16() and (isinstance(op, Product) or not suits_winograd(op))


@dataclass
class Storage:
    """How results are stored: as the operations that take them like it, where all of these compute alike.

    integers: operation -> its values in eight bits.
    """

    network: Network
    integers: Mapping[Op, Form] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._users, self._dynamic = self.network.users(), self.network.dynamic()
        self._given = set(ops_of(self.network.output))

    def low(self, op: Op, precision: str) -> Form:
        """How an operation in `precision` takes the result of `op`."""
        if precision == "fp32":
            return FP32
        return BF16 if precision == "bf16" else self.integers[op]

    def of(self, op: Weighted) -> Form:
        """How the result of a convolution or product is stored."""
        is_low = op.precision != "fp32" and self._feeds(op, op.precision)
        return self.low(op, op.precision) if is_low else FP32

    def passes(self, op: Op, precision: str) -> bool:
        """Whether `op`, which only chooses or moves numbers, takes and gives those of `precision`."""
        if not isinstance(op, Layer) or op in self._dynamic or rule_of(_PASSING, op.module) is None:
            return False
        return self._feeds(op, precision)

    def _feeds(self, op: Op, precision: str) -> bool:
        """Whether nothing but operations that take `precision` needs the result of `op`."""
        users = self._users[op]
        return bool(users) and op not in self._given and all(self._takes(user, precision) for user in users)

    def _takes(self, op: Op, precision: str) -> bool:
        if isinstance(op, Weighted):
            return op.precision == precision
        return precision != "fp32" and self.passes(op, precision)


_PASSING = dict.fromkeys((SpatialMaxPooling, View, Reshape, InferReshape), True)
"""Layers that only choose or move numbers."""
