"""Line searches: how far to go along a direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import copysign, isfinite, sqrt

from dlcore.activity import Array


@dataclass(frozen=True)
class Point:
    """A length that was tried: the loss there, its slope along the direction, and the gradient."""

    length: float
    loss: float
    slope: float
    gradient: Array


@dataclass(frozen=True)
class StrongWolfe:
    """A length at which the loss has fallen by c1 of what the slope promised, and the slope to c2 of what it was.

    Two phases (Nocedal and Wright 2006, algorithms 3.5 and 3.6): longer steps until such a length is bracketed, then
    the minimum of the cubic through the bracket's ends. After max_evaluations it is the best length that was met.

    Raises:
        ValueError: not 0 < c1 < c2 < 1.
    """

    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.c1 < self.c2 < 1:
            raise ValueError(f"StrongWolfe: got c1={self.c1} and c2={self.c2}, expected 0 < c1 < c2 < 1")

    def search(self, start: Point, first: float, at: Callable[[float], Point]) -> tuple[Point, int]:
        """The point found from `start`, whose length is 0 and whose slope is negative, and how often `at` was asked;
        `first` is the length to try first."""
        before, length = start, first
        for count in range(1, self.max_evaluations + 1):
            now = at(length)
            if not self._falls(start, now) or (count > 1 and now.loss >= before.loss):
                return self._between(start, before, now, at, count)
            if self._is_flat(start, now):
                return now, count
            if now.slope >= 0:
                return self._between(start, now, before, at, count)
            before, length = now, 2 * length
        return before, self.max_evaluations

    def _falls(self, start: Point, now: Point) -> bool:
        """Whether the loss is low enough; one that is no number is not."""
        return now.loss <= start.loss + self.c1 * now.length * start.slope

    def _is_flat(self, start: Point, now: Point) -> bool:
        return abs(now.slope) <= -self.c2 * start.slope

    def _between(
        self, start: Point, low: Point, high: Point, at: Callable[[float], Point], count: int
    ) -> tuple[Point, int]:
        """A point between two: `low`, the best that falls enough so far, and one on the other side of a minimum."""
        while count < self.max_evaluations and abs(high.length - low.length) > 1e-12:
            now, count = at(_lowest_of_cubic(low, high)), count + 1
            if not self._falls(start, now) or now.loss >= low.loss:
                high = now
                continue
            if self._is_flat(start, now):
                return now, count
            if now.slope * (high.length - low.length) >= 0:
                high = low
            low = now
        return low, count


def _lowest_of_cubic(low: Point, high: Point) -> float:
    """The minimum of the cubic through the losses and slopes of two points, at least a tenth of the way from either."""
    span = high.length - low.length
    theta = 3 * (low.loss - high.loss) / span + low.slope + high.slope
    square = theta * theta - low.slope * high.slope
    if not isfinite(square) or square < 0:
        return low.length + span / 2
    root = copysign(sqrt(square), span)
    below = high.slope - low.slope + 2 * root
    share = 1 - (high.slope + root - theta) / below if below else 0.5
    return low.length + span * min(max(share, 0.1), 0.9)
