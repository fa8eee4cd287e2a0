"""Learning-rate schedules, as BigDL names them.

`rate(base, progress)` gives the rate of the coming step; `progress.steps` counts the steps done.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from math import cos, exp, floor, pi
from typing import Any, ClassVar

from dlcore.registry import Registry


@dataclass(frozen=True)
class Progress:
    """The progress of training: steps done, epoch (1-based), decay of the method, latest validation score and loss."""

    steps: int = 0
    epoch: int = 1
    decay: float = 0.0
    score: float | None = None
    loss: float | None = None


@dataclass
class Schedule:
    """Gives the learning rate of each step. All take `bigdl_type` because BigDL's do."""

    registry: ClassVar[Registry[type[Schedule]]] = Registry("optim")
    bigdl_type: str = field(default="float", kw_only=True, repr=False, compare=False)

    def __init_subclass__(cls, namespace: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        Schedule.registry.add(cls, namespace)

    def rate(self, base: float, progress: Progress) -> float:
        """The rate of the coming step, from the method's own rate `base`."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """The state that must be saved to continue exactly; most schedules keep none."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""


@dataclass
class Default(Schedule):
    """base / (1 + steps * learningrate_decay)."""

    def rate(self, base: float, progress: Progress) -> float:
        return base / (1 + progress.steps * progress.decay)


@dataclass
class Step(Schedule):
    """base * gamma^floor(steps / step_size)."""

    step_size: int
    gamma: float

    def rate(self, base: float, progress: Progress) -> float:
        return float(base * self.gamma ** (progress.steps // self.step_size))


@dataclass
class MultiStep(Schedule):
    """base * gamma^(number of step_sizes reached)."""

    step_sizes: list[int]
    gamma: float

    def rate(self, base: float, progress: Progress) -> float:
        return float(base * self.gamma ** bisect_right(self.step_sizes, progress.steps))


@dataclass
class Poly(Schedule):
    """base * (1 - steps / max_iteration)^power, then 0."""

    power: float
    max_iteration: int

    def rate(self, base: float, progress: Progress) -> float:
        return float(base * max(1 - progress.steps / self.max_iteration, 0.0) ** self.power)


@dataclass
class Exponential(Schedule):
    """base * decay_rate^(steps / decay_step), the exponent rounded down with stair_case."""

    decay_step: int
    decay_rate: float
    stair_case: bool = False

    def rate(self, base: float, progress: Progress) -> float:
        exponent = progress.steps / self.decay_step
        return float(base * self.decay_rate ** (floor(exponent) if self.stair_case else exponent))


@dataclass
class NaturalExp(Schedule):
    """base * exp(-gamma * floor(steps / decay_step))."""

    decay_step: int
    gamma: float

    def rate(self, base: float, progress: Progress) -> float:
        return base * exp(-self.gamma * (progress.steps // self.decay_step))


@dataclass
class Warmup(Schedule):
    """base + delta * steps: the beginning of a SequentialSchedule."""

    delta: float

    def rate(self, base: float, progress: Progress) -> float:
        return base + self.delta * progress.steps


@dataclass
class Cosine(Schedule):
    """From base to min_rate along half a cosine over max_iteration steps, then min_rate (Loshchilov and Hutter
    2017)."""

    max_iteration: int
    min_rate: float = 0.0

    def rate(self, base: float, progress: Progress) -> float:
        share = min(progress.steps / self.max_iteration, 1.0)
        return self.min_rate + (base - self.min_rate) * (1 + cos(pi * share)) / 2


@dataclass
class SequentialSchedule(Schedule):
    """One schedule after the other; each starts from the last rate of the one before and counts steps from its end.

    As in BigDL a schedule is in force for its `max_iteration` steps and one more, the last for ever.

    Example:
        >>> schedule = SequentialSchedule(100).add(Warmup(0.1), 5).add(Poly(1.0, 10), 10)
        >>> [round(schedule.rate(0.0, Progress(steps)), 3) for steps in (0, 5, 6, 10)]
        [0.0, 0.5, 0.45, 0.25]
    """

    iteration_per_epoch: int
    parts: list[tuple[Schedule, int]] = field(default_factory=list, init=False)

    def add(self, scheduler: Schedule, max_iteration: int, bigdl_type: str = "float") -> SequentialSchedule:
        """Append `scheduler` for `max_iteration` steps."""
        self.parts.append((scheduler, max_iteration))
        return self

    def rate(self, base: float, progress: Progress) -> float:
        """The rate of the schedule that is in force; ValueError when there is none."""
        if not self.parts:
            raise ValueError("SequentialSchedule: got no schedules, expected at least one; call add(schedule, steps)")
        done = progress.steps
        for index, (schedule, length) in enumerate(self.parts):
            if done <= length or index == len(self.parts) - 1:
                return schedule.rate(base, replace(progress, steps=done))
            base = schedule.rate(base, replace(progress, steps=length))
            done -= length
        return base

    def state(self) -> dict[str, Any]:
        return {"parts": [schedule.state() for schedule, _ in self.parts]}

    def restore(self, state: dict[str, Any]) -> None:
        # Checkpoints from before schedules kept the state of their parts have none.
        states = state.get("parts", [])
        if not isinstance(states, list) or not all(isinstance(part, dict) for part in states):
            raise ValueError(f"SequentialSchedule: got parts {states!r:.80}, expected a state for each")
        for (schedule, _), part in zip(self.parts, states, strict=False):
            schedule.restore(part)


@dataclass
class Plateau(Schedule):
    """Multiply the rate by `factor` when `monitor` ('score' or 'Loss') has not improved for `patience` epochs.

    mode 'min' or 'max'; an improvement is a change above `epsilon`; after a reduction `cooldown` epochs are not
    counted; the rate stays >= min_lr.
    """

    monitor: str
    factor: float = 0.1
    patience: int = 10
    mode: str = "min"
    epsilon: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise ValueError(f"Plateau: got mode {self.mode!r}, expected 'min' or 'max'")
        if self.factor >= 1:
            raise ValueError(f"Plateau: got factor {self.factor}, expected less than 1")
        self._kept = {"epoch": 1, "best": None, "waited": 0, "cooling": 0, "scale": 1.0}

    def rate(self, base: float, progress: Progress) -> float:
        """`base` times all reductions so far; judges the epoch that has ended when a new one has begun."""
        if progress.epoch > self._kept["epoch"]:
            self._kept["epoch"] = progress.epoch
            value = progress.loss if self.monitor.lower() == "loss" else progress.score
            if value is not None:
                self._judge(value)
        return max(base * float(self._kept["scale"]), self.min_lr)

    def _judge(self, value: float) -> None:
        kept = self._kept
        sign = 1 if self.mode == "min" else -1
        kept["cooling"] = max(kept["cooling"] - 1, 0)
        if kept["best"] is None or sign * value < sign * kept["best"] - self.epsilon:
            kept["best"], kept["waited"] = value, 0
        elif kept["cooling"] == 0:
            kept["waited"] += 1
            if kept["waited"] >= self.patience:
                kept["scale"], kept["cooling"], kept["waited"] = kept["scale"] * self.factor, self.cooldown, 0

    def state(self) -> dict[str, Any]:
        return dict(self._kept)

    def restore(self, state: dict[str, Any]) -> None:
        no_numbers = [name for name, value in state.items() if not isinstance(value, (int, float)) and name != "best"]
        if state.keys() != self._kept.keys() or no_numbers or not isinstance(state["best"], (int, float, type(None))):
            raise ValueError(f"Plateau: got state {state!r:.120}, expected numbers for {', '.join(self._kept)}")
        self._kept = dict(state)
