"""Criterions made of criterions."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from dlcore.activity import Array, add, map_leaves
from dlcore.nn.criterion.criterion import Criterion, Gradient


@dataclass(eq=False)
class _Weighted(Criterion):
    """Holds criterions and their weights."""

    criterions: list[tuple[Criterion, float]] = field(default_factory=list, init=False)

    def add(self, criterion: Criterion, weight: float = 1.0) -> Self:
        """Append `criterion`, whose loss counts `weight` times."""
        self.criterions.append((criterion, weight))
        return self

    def _checked(self) -> list[tuple[Criterion, float]]:
        if not self.criterions:
            raise ValueError(f"{self.label()}: got no criterions, expected at least one; call add(criterion, weight)")
        return self.criterions


def _scaled(grad: Any, weight: float) -> Any:
    return map_leaves(lambda leaf: leaf * np.float32(weight), grad)


@dataclass(eq=False)
class MultiCriterion(_Weighted):
    """The weighted sum of several criterions on the same output and target."""

    def apply(self, output: Any, target: Any) -> tuple[float, Gradient]:
        results = [(weight, *criterion.apply(output, target)) for criterion, weight in self._checked()]

        def gradient() -> Any:
            parts = [_scaled(grad(), weight) for weight, _, grad in results]
            total = parts[0]
            for part in parts[1:]:
                total = add(total, part)
            return total

        return sum(weight * loss for weight, loss, _ in results), gradient


@dataclass(eq=False)
class ParallelCriterion(_Weighted):
    """The weighted sum of the i-th criterion on the i-th output and the i-th target.

    With `repeat_target` all take the whole target.
    """

    repeat_target: bool = False

    def apply(self, output: list[Any], target: Any) -> tuple[float, Gradient]:
        pairs = self._checked()
        if len(output) != len(pairs):
            raise ValueError(f"{self.label()}: got a table of {len(output)} outputs, expected {len(pairs)}")
        targets = [target] * len(pairs) if self.repeat_target else target
        results = [
            (weight, *criterion.apply(x, t)) for (criterion, weight), x, t in zip(pairs, output, targets, strict=True)
        ]
        total = sum(weight * loss for weight, loss, _ in results)
        return total, lambda: [_scaled(grad(), weight) for weight, _, grad in results]


@dataclass(eq=False)
class TimeDistributedCriterion(Criterion):
    """`criterion` at each step of `dimension` (1-based), summed, or averaged over the steps with size_average.

    output: (N, T, ...); target: (N, T, ...) or (N, T).
    """

    criterion: Criterion
    size_average: bool = False
    dimension: int = 2

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        axis = self.dimension - 1
        if output.shape[axis] != target.shape[axis]:
            raise ValueError(
                f"{self.label()}: got {output.shape[axis]} steps of output and {target.shape[axis]} of target, "
                "expected as many"
            )
        steps = zip(np.moveaxis(output, axis, 0), np.moveaxis(target, axis, 0), strict=True)
        results = [self.criterion.apply(x, t) for x, t in steps]
        share = np.float32(1.0 / len(results) if self.size_average else 1.0)
        loss = float(sum(loss for loss, _ in results) * share)
        return loss, lambda: np.stack([grad() * share for _, grad in results], axis=axis)
