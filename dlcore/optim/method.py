"""Optimisation methods: how a step changes the weights. Formulas are BigDL's."""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from dlcore.activity import Array
from dlcore.optim.schedule import Default, Progress, Schedule

DOUBLEMAX = 1.7976931348623157e308


@dataclass
class OptimMethod:
    """Changes flat weights (P,) in place, given their gradients (P,).

    `slots` are its arrays, by name, of the shape of the weights; `steps` counts the steps done.
    """

    registry: ClassVar[dict[str, type["OptimMethod"]]] = {}
    steps: int = field(default=0, init=False)
    slots: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    current_rate: float = field(default=0.0, init=False)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        OptimMethod.registry[cls.__name__] = cls

    def update(self, weights: Array, grads: Array, progress: Progress | None = None) -> None:
        """One step. `grads` may be overwritten; `progress` adds epoch, score and loss for schedules that look at them."""
        if weights.shape != grads.shape or weights.ndim != 1:
            raise ValueError(
                f"{type(self).__name__}: got weights {weights.shape} and gradients {grads.shape}, expected equal flat arrays"
            )
        known = progress or Progress()
        self.current_rate = self.rate(Progress(self.steps, known.epoch, self._decay(), known.score, known.loss))
        self.steps += 1
        self.change(weights, grads, np.float32(self.current_rate))

    def rate(self, progress: Progress) -> float:
        """The learning rate of the coming step."""
        schedule = getattr(self, "leaningrate_schedule", None) or Default()
        base: float = getattr(self, "learningrate", 1.0)
        result: float = schedule.rate(base, progress)
        return result

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        """Change `weights` by one step at `rate`. Each method defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define change")

    def slot(self, name: str, like: Array, start: float = 0.0) -> Array:
        """The method's own array `name`, filled with `start` when first used."""
        if name not in self.slots:
            self.slots[name] = np.full(like.shape, start, np.float32)
        return self.slots[name]

    def hyper_parameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def _decay(self) -> float:
        return float(getattr(self, "learningrate_decay", 0.0))

    def _schedule(self) -> Schedule | None:
        found: Schedule | None = getattr(self, "leaningrate_schedule", None)
        return found

    def state(self) -> dict[str, Any]:
        """Steps and the schedule's state, in JSON types; the arrays are in `slots`."""
        schedule = self._schedule()
        return {"method": type(self).__name__, "steps": self.steps, "schedule": schedule.state() if schedule else {}}

    def restore(self, state: dict[str, Any], slots: dict[str, Array]) -> None:
        """Go on from `state()` and `slots`.

        Raises:
            ValueError: the state is that of another method.
        """
        if state["method"] != type(self).__name__:
            raise ValueError(f"got the state of {state['method']}, expected {type(self).__name__}")
        self.steps = int(state["steps"])
        self.slots = {name: np.array(value, np.float32) for name, value in slots.items()}
        schedule = self._schedule()
        if schedule is not None:
            schedule.restore(state["schedule"])


@dataclass
class SGD(OptimMethod):
    """Gradient descent with momentum, weight decay and a schedule.

    g += weightdecay w; v = momentum v + (1 - dampening) g (v = g in the first step); w -= rate v, or rate (g + momentum v) with
    nesterov. The dampening is the momentum unless given. `learningrates` and `weightdecays` (P,) are factors and decays by
    weight. The schedule's argument has BigDL's spelling.

    Raises:
        ValueError: nesterov without momentum, or with dampening.
    """

    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    weightdecay: float = 0.0
    momentum: float = 0.0
    dampening: float = DOUBLEMAX
    nesterov: bool = False
    leaningrate_schedule: Schedule | None = None
    learningrates: Array | None = None
    weightdecays: Array | None = None

    def __post_init__(self) -> None:
        if self.dampening == DOUBLEMAX:
            self.dampening = 0.0 if self.nesterov else self.momentum
        if self.nesterov and (self.momentum <= 0 or self.dampening != 0):
            raise ValueError(
                f"SGD: got nesterov with momentum {self.momentum} and dampening {self.dampening}, "
                "expected a momentum above 0 and no dampening"
            )

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        if self.weightdecay:
            grads += np.float32(self.weightdecay) * weights
        if self.weightdecays is not None:
            grads += np.asarray(self.weightdecays, np.float32) * weights
        step = grads
        if self.momentum:
            is_first = "velocity" not in self.slots
            velocity = self.slot("velocity", weights)
            velocity *= np.float32(self.momentum)
            velocity += grads if is_first else np.float32(1 - self.dampening) * grads
            step = grads + np.float32(self.momentum) * velocity if self.nesterov else velocity
        if self.learningrates is not None:
            step = step * np.asarray(self.learningrates, np.float32)
        weights -= rate * step
