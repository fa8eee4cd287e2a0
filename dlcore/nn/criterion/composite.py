"""Criterions made of criterions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from dlcore.activity import Array, add, describe, map_leaves
from dlcore.nn.criterion.criterion import Criterion, Gradient
from dlcore.nn.module import Module


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
    return map_leaves(lambda leaf: leaf * float(weight), grad)


@dataclass(eq=False)
class MultiCriterion(_Weighted):
    """The weighted sum of several criterions on the same output and target.

    output: what each criterion takes; target: what each criterion takes.
    Source: BigDL's MultiCriterion.
    """

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

    output: a table of one entry per criterion; target: likewise, or what each takes with repeat_target.
    With `repeat_target` all take the whole target.
    Source: BigDL's ParallelCriterion.
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
    """The sum of `criterion` over the steps of `dimension` (1-based), or their mean with size_average.

    output: (N, T, ...); target: (N, T, ...) or (N, T).
    Source: BigDL's TimeDistributedCriterion.
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
        share = 1.0 / len(results) if self.size_average else 1.0
        loss = float(sum(loss for loss, _ in results) * share)
        return loss, lambda: np.stack([grad() * share for _, grad in results], axis=axis)


@dataclass(eq=False)
class TimeDistributedMaskCriterion(Criterion):
    """The mean of `criterion` over all steps whose label is not padding_value; `criterion` may average or sum rows.

    output: (N, T, ...); target: (N, T).
    In BigDL `criterion` also gets the padding and has to ignore it; here it gets the other steps only.
    Source: BigDL's TimeDistributedMaskCriterion.

    Raises:
        ValueError: outputs and labels of different numbers of steps.
    """

    criterion: Criterion
    padding_value: int = 0

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        if output.shape[:2] != target.shape:
            raise ValueError(
                f"{self.label()}: got output {describe(output)} and target {describe(target)}, expected (N, T, ...) "
                f"and (N, T)"
            )
        counted = target != self.padding_value
        total = max(int(counted.sum()), 1)
        loss, inner = self.criterion.apply(output[counted], target[counted]) if counted.any() else (0.0, lambda: 0)
        is_mean = getattr(self.criterion, "size_average", getattr(self.criterion, "sizeAverage", True))
        share = 1.0 if is_mean else 1.0 / total

        def gradient() -> Array:
            back = np.zeros_like(output)
            back[counted] = inner() * output.dtype.type(share)
            return back

        return loss * share, gradient


@dataclass(eq=False)
class TransformerCriterion(Criterion):
    """`criterion` applied to what two modules make of output and target, for example a loss on features. It does not
    train the modules.

    output: what input_transformer takes; target: what target_transformer takes. Either may be left out.
    Source: BigDL's TransformerCriterion; Johnson et al. 2016 (perceptual losses).
    """

    criterion: Criterion
    input_transformer: Module | None = None
    target_transformer: Module | None = None

    def apply(self, output: Any, target: Any) -> tuple[float, Gradient]:
        wanted = target if self.target_transformer is None else self.target_transformer.apply(target)[0]
        if self.input_transformer is None:
            return self.criterion.apply(output, wanted)
        module = self.input_transformer
        made, pullback = module.apply(output)
        loss, gradient = self.criterion.apply(made, wanted)

        def pulled_back() -> Any:
            with _held(module):
                return pullback(gradient())

        return loss, pulled_back


@contextmanager
def _held(module: Module) -> Iterator[None]:
    """Within this context no gradient reaches the module's parameters."""
    learning = [parameter for parameter in module.named_parameters().values() if not parameter.frozen]
    for parameter in learning:
        parameter.frozen = True
    try:
        yield
    finally:
        for parameter in learning:
            parameter.frozen = False
