"""Use the workers' gradients: combine them, clip them, change the weights, for all weights or for any slice of them.

The owner of a slice does with it what one process does with everything: `combine`, `clip_values`, hand its
`squared_norm` to the others, `change` with the sum of theirs. So a crew whose slices live on many machines computes
what one process computes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np

from dlcore.activity import Array
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.optim.method import Evaluation, OptimMethod
from dlcore.optim.schedule import Progress

_AT_ONCE = 1 << 14
"""Numbers that are added at once: a processor's cache holds them."""


@dataclass(frozen=True)
class Clipping:
    """How gradients are limited: each value to [low, high], then the whole to an L2 norm. Either, both or none."""

    values: tuple[float, float] | None = None
    norm: float | None = None

    def clip_values(self, grads: Array) -> None:
        """Limit each value of `grads`, in place."""
        if self.values is not None:
            np.clip(grads, *self.values, out=grads)

    def factor(self, squared_norm: float) -> float:
        """The factor for the gradient. squared_norm: that of the whole gradient."""
        if self.norm is None or squared_norm <= self.norm**2:
            return 1.0
        return self.norm / math.sqrt(squared_norm)


@dataclass(frozen=True)
class Part:
    """The stretch [start, stop) of the flat weights that `method` changes; its layers end at `ends`, counted from
    `start`."""

    name: str
    method: OptimMethod
    start: int
    stop: int
    ends: tuple[int, ...]

    @property
    def place(self) -> slice:
        """The stretch."""
        return slice(self.start, self.stop)

    def cuts(self) -> list[int]:
        """The places where the part may be cut, apart from its ends, if not everywhere."""
        inner = self.ends[:-1] if self.method.scope == "layer" else ()
        return [self.start + end for end in inner]

    def within(self, start: int, stop: int) -> Part | None:
        """What of it lies in [start, stop), counted from there; a method of its own, with a copy of that stretch's
        state."""
        low, high = max(self.start, start), min(self.stop, stop)
        if low >= high:
            return None
        ends = tuple(sorted({min(self.start + end, high) - low for end in self.ends if self.start + end > low}))
        method = self.method.cut(low - self.start, high - self.start)
        return Part(self.name, method, low - start, high - start, ends)


@dataclass(frozen=True)
class Update:
    """How a step changes the flat weights (P,): clipping, then each part's method."""

    parameters: tuple[Parameter, ...]
    methods: Mapping[str, OptimMethod]
    parts: tuple[Part, ...]
    clipping: Clipping = Clipping()

    @classmethod
    def of(cls, model: Module, methods: Mapping[str, OptimMethod], clipping: Clipping) -> Self:
        """`methods`: by the name or path of the layer whose weights they change; "" is the model.

        Raises:
            KeyError: a name does not exist.
            ValueError: what is to learn has no method, or two; or two layers share a method object.
        """
        if len({id(method) for method in methods.values()}) < len(methods):
            raise ValueError(
                f"got one method object for several of {list(methods)}, expected one each: it keeps their state"
            )
        wanted = {id(p): path for path, p in model.named_parameters().items() if not p.frozen}
        order: list[Parameter] = []
        parts: list[Part] = []
        start = 0
        for name, method in methods.items():
            mine = [p for p in model.find(name).named_parameters().values() if not p.frozen]
            twice = [path for p in mine if (path := wanted.pop(id(p), None)) is None]
            if twice:
                raise ValueError(f"got a second method, {name!r}, for weights that have one, expected one for each")
            ends = _layer_ends(model.find(name))
            parts.append(Part(name, method, start, start + (ends[-1] if ends else 0), ends))
            start, order = parts[-1].stop, order + mine
        if wanted:
            raise ValueError(f"got no method for {sorted(wanted.values())}, expected one for all that is to learn")
        return cls(tuple(order), dict(methods), tuple(parts), clipping)

    @property
    def evaluates_again(self) -> bool:
        """Whether a method asks for the gradient at other weights within a step."""
        return any(part.method.evaluates_again for part in self.parts)

    def slices(self, count: int) -> list[tuple[int, int]]:
        """At most `count` stretches [start, stop) of about one size, cut only where the methods' scopes allow."""
        size = self.parts[-1].stop if self.parts else 0
        bounds = {0, size}
        for wanted in (round(size * index / count) for index in range(1, count)):
            bounds.add(self._nearest_cut(wanted, size))
        edges = sorted(bounds)
        return list(pairwise(edges))

    def _nearest_cut(self, wanted: int, size: int) -> int:
        for part in self.parts:
            if part.method.scope == "element" and part.start <= wanted <= part.stop:
                return wanted
        allowed = [0, size, *(p.start for p in self.parts), *(cut for p in self.parts for cut in p.cuts())]
        return min(allowed, key=lambda cut: abs(cut - wanted))

    def cut(self, start: int, stop: int) -> Update:
        """The update of the slice [start, stop), with methods of its own."""
        found = [part.within(start, stop) for part in self.parts]
        return replace(self, parts=tuple(part for part in found if part is not None))

    def join(self, slices: Sequence[Update]) -> None:
        """Take over the methods' state from the updates of all slices, in their order."""
        for part in self.parts:
            pieces = [piece.method for update in slices for piece in update.parts if piece.name == part.name]
            if pieces:
                part.method.join(pieces)

    def clip_values(self, grads: Array) -> float:
        """Limit each value of a slice's gradient, in place; gives the squared norm of what is left."""
        self.clipping.clip_values(grads)
        return float(np.vdot(grads, grads)) if self.clipping.norm is not None else 0.0

    def change(
        self,
        weights: Array,
        grads: Array,
        squared_norm: float,
        progress: Progress,
        evaluation: Evaluation | None = None,
    ) -> None:
        """Change a slice's `weights`, in place; `squared_norm` is that of the whole gradient."""
        factor = self.clipping.factor(squared_norm)
        if factor != 1.0:
            grads *= grads.dtype.type(factor)
        for part in self.parts:
            if part.stop > part.start:
                again = None if evaluation is None else evaluation.of(part.place)
                part.method.update(weights[part.place], grads[part.place], progress, part.ends, again)


def combine(rows: Sequence[Array] | Array, records: Sequence[int], out: Array | None = None) -> Array:
    """The mean of the workers' gradients (workers, P), weighted by their records, in `out`, which is given back:
    without it in the first row."""
    total, kind = max(sum(records), 1), rows[0].dtype.type
    into: Array = rows[0] if out is None else out
    if len(rows) == 1:
        if out is not None:
            out[...] = rows[0]
        return into
    scratch = np.empty(min(_AT_ONCE, into.size), into.dtype)
    for start in range(0, into.size, _AT_ONCE):
        some = into[start : start + _AT_ONCE]
        np.multiply(rows[0][start : start + _AT_ONCE], kind(records[0] / total), out=some)
        for row, count in zip(rows[1:], records[1:], strict=True):
            share = np.multiply(row[start : start + _AT_ONCE], kind(count / total), out=scratch[: some.size])
            some += share
    return into


def _layer_ends(module: Module) -> tuple[int, ...]:
    """Where the learned parameters of each layer of `module` end in flat memory."""
    ends: dict[str, int] = {}
    offset = 0
    for path, parameter in module.named_parameters().items():
        if not parameter.frozen:
            offset += parameter.value.size
            ends[path.rpartition(".")[0]] = offset
    return tuple(ends.values())
