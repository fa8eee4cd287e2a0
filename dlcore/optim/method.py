"""Optimisation methods: how a step changes the weights. Formulas are BigDL's."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.errors import TrainingDivergedError
from dlcore.number_type import also_spelled
from dlcore.optim.schedule import Default, Progress, Schedule
from dlcore.registry import Registry

_FILES = "dlcore.optim.method_file"
"""What reads and writes methods; it knows them all, and so is named as a string."""
DOUBLEMAX = 1.7976931348623157e308
_LARGEST_RATE = 1e9
"""Beyond it the next weights mean nothing."""


Scope: TypeAlias = Literal["element", "layer", "whole"]


@dataclass(frozen=True)
class Evaluation:
    """The loss at the present weights, and a function that gives (loss, gradients (P,)) at what they are when it is
    called."""

    loss: float
    again: Callable[[], tuple[float, Array]]

    def of(self, place: slice) -> Evaluation:
        """The same for a stretch of the weights."""

        def again() -> tuple[float, Array]:
            loss, grads = self.again()
            return loss, grads[place]

        return Evaluation(self.loss, again)


@dataclass
class OptimMethod:
    """Changes flat weights (P,) in place, given their gradients (P,).

    `slots` are its arrays, by name, of the shape of the weights; `steps` counts the steps done.
    scope: what `change` must see at once. "element": any stretch of the weights will do; "layer": it is called layer by
    layer; "whole": all weights. `evaluates_again`: it wants an `Evaluation`, which is `self.evaluation` during
    `change`. All take `bigdl_type` because BigDL's do: what a method computes in is the weights' type.
    """

    registry: ClassVar[Registry[type[OptimMethod]]] = Registry("optim")
    bigdl_type: str = field(default="float", kw_only=True, repr=False, compare=False)
    scope: ClassVar[Scope] = "element"
    evaluates_again: ClassVar[bool] = False
    by_weight: ClassVar[tuple[str, ...]] = ()
    """The constructor's arguments that are arrays with a number for each weight."""
    steps: int = field(default=0, init=False)
    slots: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    current_rate: float = field(default=0.0, init=False)
    evaluation: Evaluation | None = field(default=None, init=False, repr=False)
    _size: int = field(default=0, init=False, repr=False)
    _place: slice = field(default_factory=lambda: slice(None), init=False, repr=False)

    def __init_subclass__(cls, namespace: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        OptimMethod.registry.add(cls, namespace)

    def update(
        self,
        weights: Array,
        grads: Array,
        progress: Progress | None = None,
        layer_ends: Sequence[int] = (),
        evaluation: Evaluation | None = None,
    ) -> None:
        """One step. `grads` may be overwritten; `progress` adds epoch, score and loss for schedules that look at them.

        layer_ends: where each layer's weights end; a method of scope "layer" takes everything for one layer without
        them.

        Raises:
            TrainingDivergedError: the learning rate is not a number, or beyond all sense.
            ValueError: arrays of different shapes, another number of weights than before, or no evaluation for a method
            that
                wants one.
        """
        if weights.shape != grads.shape or weights.ndim != 1:
            raise ValueError(
                f"{type(self).__name__}: got weights {weights.shape} and gradients {grads.shape}, expected equal flat "
                f"arrays"
            )
        if self.evaluates_again and evaluation is None:
            raise ValueError(f"{type(self).__name__}: got no evaluation, expected one; pass evaluation=Evaluation(...)")
        self._require_size(weights.size)
        self.begin(progress or Progress())
        self._size, self.evaluation = weights.size, evaluation
        ends = list(layer_ends) if self.scope == "layer" and layer_ends else [weights.size]
        for start, end in zip([0, *ends], ends, strict=False):
            self._place = slice(start, end)
            self.change(weights[self._place], grads[self._place], weights.dtype.type(self.current_rate))
        self._place, self.evaluation = slice(None), None

    def begin(self, progress: Progress) -> None:
        """Count a step and set its rate, as `update` does before it changes weights; who keeps none counts along with
        those who do.

        Raises:
            TrainingDivergedError: the learning rate is not a number, or beyond all sense.
        """
        rate = self.rate(Progress(self.steps, progress.epoch, self._decay(), progress.score, progress.loss))
        if not abs(rate) <= _LARGEST_RATE:
            raise TrainingDivergedError(
                f"{type(self).__name__}: got a learning rate of {rate:g} at step {self.steps + 1}, expected at most "
                f"{_LARGEST_RATE:g} in size; rates from 0.0001 to 1 are usual"
            )
        self.current_rate = rate
        self.steps += 1

    def _require_size(self, size: int) -> None:
        given = {name: getattr(self, name) for name in self.by_weight}
        for name, value in (self.slots | {name: value for name, value in given.items() if value is not None}).items():
            if np.shape(value)[-1] != size:
                raise ValueError(
                    f"{type(self).__name__}: got {size} weights and {name} for {np.shape(value)[-1]}, expected as "
                    f"many; build a "
                    "new method for other weights, such as those that are left after freeze"
                )

    def rate(self, progress: Progress) -> float:
        """The learning rate of the coming step."""
        schedule = getattr(self, "leaningrate_schedule", None) or Default()
        base: float = getattr(self, "learningrate", 1.0)
        result: float = schedule.rate(base, progress)
        return result

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        """Change `weights` by one step at `rate`. Each method defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define change")

    def slot(self, name: str, like: Array, start: float = 0.0) -> Array:
        """The method's own array `name` for the weights that are being changed, filled with `start` when first used."""
        if name not in self.slots:
            self.slots[name] = np.full(max(self._size, like.size), start, like.dtype)
        return self.slots[name][self._place]

    def cut(self, start: int, stop: int) -> Self:
        """A method of its own for the stretch [start, stop) of the weights, with a copy of the state that belongs to
        it."""
        piece = copy.deepcopy(self)
        piece.slots = {name: value[..., start:stop].copy() for name, value in self.slots.items()}
        for name in self.by_weight:
            if getattr(self, name) is not None:
                setattr(piece, name, np.asarray(getattr(self, name))[start:stop])
        return piece

    def join(self, pieces: Sequence[Self]) -> None:
        """Take over the state of the pieces that `cut` gave for all stretches, in order."""
        slots = {name: np.concatenate([piece.slots[name] for piece in pieces], axis=-1) for name in pieces[0].slots}
        self.current_rate = pieces[0].current_rate
        self.restore(pieces[0].state(), slots)

    def hyper_parameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != "bigdl_type"}

    def save(self, path: str | Path, overWrite: bool = False) -> None:
        """Write the method, its schedule and its state to a file, to go on from: see `method_file`.

        Raises:
            FileExistsError: there is one already, and overWrite is not set.
        """
        import_module(_FILES).save_method(self, Path(path), overWrite)

    @staticmethod
    def load(path: str | Path, bigdl_type: str = "float") -> OptimMethod:
        """The method that `save` wrote: see `method_file`.

        Raises:
            FileNotFoundError, CheckpointError: there is none, or it is damaged or of something else.
        """
        loaded: OptimMethod = import_module(_FILES).load_method(Path(path))
        return loaded

    def _decay(self) -> float:
        return float(getattr(self, "learningrate_decay", 0.0))

    def _schedule(self) -> Schedule | None:
        found: Schedule | None = getattr(self, "leaningrate_schedule", None)
        return found

    def state(self) -> dict[str, Any]:
        """Steps and the schedule's state, in JSON types; the arrays are in `slots`."""
        schedule = self._schedule()
        name = self.registry.key(type(self))
        state = schedule.state() if schedule else {}
        return {"method": name, "steps": self.steps, "schedule": state, "slots": sorted(self.slots)}

    def restore(self, state: dict[str, Any], slots: dict[str, Array]) -> None:
        """Go on from `state()` and `slots`.

        Raises:
            ValueError: the state is that of another method.
        """
        name = type(self).__name__
        if state.get("method") not in (self.registry.key(type(self)), name):
            raise ValueError(f"got the state of {state.get('method')}, expected {name}")
        steps, kept = state.get("steps"), state.get("schedule")
        if not isinstance(steps, int) or steps < 0 or not isinstance(kept, dict):
            raise ValueError(
                f"{name}: got {steps!r:.40} steps and schedule {kept!r:.80}, expected a number and a state"
            )
        if sorted(slots) != state.get("slots", sorted(slots)):  # older files do not list them
            raise ValueError(f"{name}: got arrays {sorted(slots)}, expected {state['slots']!r:.80}")
        wrong = [slot for slot, value in slots.items() if value.ndim == 0 or value.dtype.kind != "f"]
        if wrong:
            raise ValueError(f"{name}: got {wrong[0]} of type {slots[wrong[0]].dtype}, expected an array of floats")
        self.steps, self.slots = steps, {slot: np.array(value) for slot, value in slots.items()}
        schedule = self._schedule()
        if schedule is not None:
            schedule.restore(kept)


@also_spelled(weight_decay="weightdecay", learningrate_schedule="leaningrate_schedule")
@dataclass
class SGD(OptimMethod):
    """Gradient descent with momentum, weight decay and a schedule.

    g += weightdecay w; v = momentum v + (1 - dampening) g (v = g in the first step); w -= rate v, or rate (g + momentum
    v) with nesterov. The dampening is the momentum unless given. `learningrates` and `weightdecays` (P,) are factors
    and decays by weight. The schedule's argument has BigDL's spelling.

    Raises:
        ValueError: nesterov without momentum, or with dampening.
    """

    by_weight = ("learningrates", "weightdecays")
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

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        if self.weightdecays is not None:
            if self.weightdecay:
                grads += weights.dtype.type(self.weightdecay) * weights
            grads += np.asarray(self.weightdecays, weights.dtype) * weights
        decay = self.weightdecay if self.weightdecays is None else 0.0
        velocity, share = None, 1.0
        if self.momentum:
            share = 1 - self.dampening if "velocity" in self.slots else 1.0
            velocity = self.slot("velocity", weights)
        rates = float(rate) if self.learningrates is None else rate * np.asarray(self.learningrates, weights.dtype)
        kernels.sgd(weights, grads, velocity, rates, decay, self.momentum, share, self.nesterov)
