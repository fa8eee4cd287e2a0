"""Triggers: when to end, validate, save. Called after each step with the training's state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainingState:
    """The state of training after a step.

    iteration: steps done; epoch: the 1-based epoch of the coming step; loss: of the latest step; score: the first
    metric of the latest validation.
    """

    iteration: int = 0
    epoch: int = 1
    records: int = 0
    is_epoch_end: bool = False
    loss: float | None = None
    score: float | None = None
    history: dict[str, Any] = field(default_factory=dict)


@dataclass
class Trigger:
    """Whether now is the time. All take `bigdl_type` because BigDL's do."""

    bigdl_type: str = field(default="float", kw_only=True, repr=False, compare=False)

    def __call__(self, state: TrainingState) -> bool:
        raise NotImplementedError


def require_trigger(value: Any, what: str) -> Any:
    """`value`, a trigger or a function of the TrainingState; a class would be true at once, and training end before it
    begins.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, type) or not callable(value):
        hint = (
            f"; make one: {value.__name__}(...)" if isinstance(value, type) else ", such as EveryEpoch() or MaxEpoch(5)"
        )
        raise TypeError(f"got {what} {value!r:.80}, expected an object of Trigger{hint}")
    return value


@dataclass
class MaxIteration(Trigger):
    """After `max` steps."""

    max: int

    def __call__(self, state: TrainingState) -> bool:
        return state.iteration >= self.max


@dataclass
class MaxEpoch(Trigger):
    """After `max_epoch` epochs."""

    max_epoch: int

    def __call__(self, state: TrainingState) -> bool:
        return state.epoch > self.max_epoch


@dataclass
class EveryEpoch(Trigger):
    """At the end of each epoch."""

    def __call__(self, state: TrainingState) -> bool:
        return state.is_epoch_end


@dataclass
class SeveralIteration(Trigger):
    """Every `interval` steps."""

    interval: int

    def __call__(self, state: TrainingState) -> bool:
        return state.iteration > 0 and state.iteration % self.interval == 0


@dataclass
class MaxScore(Trigger):
    """True when the validation score is above `max`."""

    max: float

    def __call__(self, state: TrainingState) -> bool:
        return state.score is not None and state.score > self.max


@dataclass
class MinLoss(Trigger):
    """True when the loss is below `min`."""

    min: float

    def __call__(self, state: TrainingState) -> bool:
        return state.loss is not None and state.loss < self.min


class TriggerAnd(Trigger):
    """True when all of the triggers are."""

    def __init__(self, first: Trigger, *other: Trigger, bigdl_type: str = "float") -> None:
        super().__init__(bigdl_type=bigdl_type)
        self.triggers = tuple(require_trigger(each, f"{type(self).__name__}'s part") for each in (first, *other))

    def __call__(self, state: TrainingState) -> bool:
        return all(trigger(state) for trigger in self.triggers)


class TriggerOr(Trigger):
    """True when one of the triggers is."""

    def __init__(self, first: Trigger, *other: Trigger, bigdl_type: str = "float") -> None:
        super().__init__(bigdl_type=bigdl_type)
        self.triggers = tuple(require_trigger(each, f"{type(self).__name__}'s part") for each in (first, *other))

    def __call__(self, state: TrainingState) -> bool:
        return any(trigger(state) for trigger in self.triggers)


def planned_steps(end: Trigger, records: int | None, batch_size: int) -> int | None:
    """The steps until `end`, where it says so; records: of an epoch, None where there is none."""
    if isinstance(end, MaxEpoch) and records:
        return end.max_epoch * math.ceil(records / batch_size)
    return end.max if isinstance(end, MaxIteration) else None
