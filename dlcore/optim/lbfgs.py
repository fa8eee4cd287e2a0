"""Limited-memory BFGS: a quasi-Newton method that evaluates the loss several times within a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.optim.line_search import Point, StrongWolfe
from dlcore.optim.method import DOUBLEMAX, Evaluation, OptimMethod

_LEAST_CURVATURE = 1e-10


@dataclass
class LBFGS(OptimMethod):
    """L-BFGS (Nocedal 1980), with steps of fixed length, as BigDL and Torch have it, or with a line search.

    A step is up to max_iter iterations along -H g, H being estimated from the last ncorrection changes of weights and
    gradients; the first is of length min(1, 1 / |g|_1) learningrate, others of length learningrate: with linesearch
    "wolfe" these are tried first, see `StrongWolfe`, whose arguments are the linesearch_options. It ends early when the
    sum of |g| is at most tolfun, or when the slope, the change of the weights or the change of the loss is at most
    tolx, or after max_eval evaluations. verbose is accepted and does nothing.

    Raises:
        ValueError: another line search is asked for, or it has no such option.
    """

    scope = "whole"
    evaluates_again = True
    max_iter: int = 20
    max_eval: float = DOUBLEMAX
    tolfun: float = 1e-5
    tolx: float = 1e-9
    ncorrection: int = 100
    learningrate: float = 1.0
    verbose: bool = False
    linesearch: Any = None
    linesearch_options: dict[str, Any] | None = None
    _iterations: int = field(default=0, init=False)
    _length: float = field(default=0.0, init=False)
    _scale: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        if self.linesearch not in (None, "wolfe"):
            raise ValueError(f"LBFGS: got linesearch {self.linesearch!r}, expected None, or 'wolfe'")
        try:
            self._search = StrongWolfe(**(self.linesearch_options or {}))
        except TypeError as error:
            raise ValueError(
                f"LBFGS: got linesearch_options {self.linesearch_options}, expected some of c1, c2, max_evaluations"
            ) from error

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        loss, gradient, evaluations = self._asked().loss, grads.copy(), 1
        for iteration in range(1, self.max_iter + 1):
            if np.abs(gradient).sum() <= self.tolfun:
                return
            direction = self._direction(gradient)
            if float(np.vdot(gradient, direction)) > -self.tolx:
                return
            is_first = self._iterations == 1
            self._length = (min(1.0, 1.0 / float(np.abs(gradient).sum())) if is_first else 1.0) * float(rate)
            is_last = iteration == self.max_iter or evaluations + 1 >= self.max_eval
            before, (loss, gradient, count) = loss, self._moved(weights, direction, loss, gradient, is_last)
            evaluations += count
            if is_last or evaluations >= self.max_eval:
                return
            if np.abs(self._length * direction).sum() <= self.tolx or abs(loss - before) < self.tolx:
                return

    def _moved(
        self, weights: Array, direction: Array, loss: float, gradient: Array, is_last: bool
    ) -> tuple[float, Array, int]:
        """Go along the direction; the loss and the gradient there, and how often they were asked for."""
        again, kind = self._asked().again, weights.dtype.type
        if self.linesearch is None:
            weights += kind(self._length) * direction
            if is_last:
                return loss, gradient, 0
            loss, gradient = again()
            return loss, gradient.copy(), 1
        start = weights.copy()

        def at(length: float) -> Point:
            weights[...] = start + kind(length) * direction
            found, slope = again()
            return Point(length, found, float(np.vdot(slope, direction)), slope.copy())

        here = Point(0.0, loss, float(np.vdot(gradient, direction)), gradient)
        point, count = self._search.search(here, self._length, at)
        self._length = point.length
        weights[...] = start + kind(point.length) * direction
        return point.loss, point.gradient, count

    def _asked(self) -> Evaluation:
        if self.evaluation is None:
            raise ValueError("LBFGS: got no evaluation, expected one; call update")
        return self.evaluation

    def _direction(self, gradient: Array) -> Array:
        """-H g; remembers both for the next iteration."""
        self._iterations += 1
        if self._iterations == 1:
            direction = -gradient
        else:
            self._remember(gradient)
            direction = self._product(-gradient)
        self.slots["gradient"], self.slots["direction"] = gradient, direction
        return direction

    def _remember(self, gradient: Array) -> None:
        """Add the latest change of the weights and of the gradient, where the curvature along it is positive."""
        step = self.slots["direction"] * gradient.dtype.type(self._length)
        change = gradient - self.slots["gradient"]
        curvature = float(np.vdot(change, step))
        if curvature <= _LEAST_CURVATURE:
            return
        for name, row in (("steps", step), ("changes", change)):
            kept = self.slots.get(name, np.empty((0, row.size), row.dtype))
            self.slots[name] = np.concatenate([kept, row[None]])[-self.ncorrection :]
        self._scale = curvature / float(np.vdot(change, change))

    def _product(self, vector: Array) -> Array:
        """H times `vector` by the two-loop recursion, oldest change first in memory."""
        empty = np.empty((0, vector.size), vector.dtype)
        pairs = list(zip(self.slots.get("steps", empty), self.slots.get("changes", empty), strict=True))
        shares, result = [], vector.copy()
        for step, change in reversed(pairs):
            shares.append(np.vdot(step, result) / np.vdot(change, step))
            result -= shares[-1] * change
        result *= vector.dtype.type(self._scale)
        for (step, change), share in zip(pairs, reversed(shares), strict=True):
            result += (share - np.vdot(change, result) / np.vdot(change, step)) * step
        return result

    def state(self) -> dict[str, Any]:
        return super().state() | {"search": [self._iterations, self._length, self._scale]}

    def restore(self, state: dict[str, Any], slots: dict[str, Array]) -> None:
        super().restore(state, slots)
        if len({slots[name].shape for name in ("steps", "changes") if name in slots}) > 1:
            raise ValueError("LBFGS: got steps and changes of different shapes, expected pairs")
        found = state.get("search")
        if not isinstance(found, list) or len(found) != 3 or not all(isinstance(each, (int, float)) for each in found):
            raise ValueError(f"LBFGS: got search {found!r:.80}, expected [iterations, length, scale]")
        self._iterations, self._length, self._scale = int(found[0]), float(found[1]), float(found[2])
