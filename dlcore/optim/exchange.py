"""How the workers of a training on Spark exchange gradients and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

WireFormat: TypeAlias = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class Exchange:
    """wire: "fp32", or "fp16", the upper 16 bits of fp32 numbers, rounded to nearest.

    Raises:
        ValueError: another format.
    """

    wire: WireFormat = "fp32"

    def __post_init__(self) -> None:
        if self.wire not in get_args(WireFormat):
            raise ValueError(f"got the wire format {self.wire!r}, expected one of {get_args(WireFormat)}")
