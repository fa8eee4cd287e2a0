"""How the workers of a training on Spark exchange gradients and weights, and for which of them a step waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

WireFormat: TypeAlias = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class Dropping:
    """Which gradients a step does without: those of tasks that compute for too long.

    share: of all tasks, that is to be given up, from 0 to 1; most: share of a step's tasks up to which it is. The
    limit of time is drawn from the latest `window` steps, each time that so many more are done, for the first time
    when more than `warmup` steps are.

    Raises:
        ValueError: not 0 <= share <= most < 1, a window below 1 or a warmup below 0.
    """

    share: float
    most: float
    window: int = 100
    warmup: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.share <= self.most < 1:
            raise ValueError(
                f"got drop_percentage {self.share} and max_drop_percentage {self.most}, expected fractions with "
                "0 <= drop_percentage <= max_drop_percentage < 1, such as 0.04 and 0.1"
            )
        if self.window < 1 or self.warmup < 0:
            raise ValueError(
                f"got batchsize {self.window} and warmup_iteration {self.warmup}, expected at least 1 and 0 steps"
            )


@dataclass(frozen=True)
class Exchange:
    """wire: "fp32", or "fp16", the upper 16 bits of fp32 numbers, rounded to nearest. dropping: none unless given.
    gang: Spark's tasks stay from step to step.

    Raises:
        ValueError: another format.
    """

    wire: WireFormat = "fp32"
    dropping: Dropping | None = None
    gang: bool = False

    def __post_init__(self) -> None:
        if self.wire not in get_args(WireFormat):
            raise ValueError(f"got the wire format {self.wire!r}, expected one of {get_args(WireFormat)}")
