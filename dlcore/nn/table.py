"""Layers that take or give tables. Dimensions and indices are 1-based."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, Pullback, leaves, zeros_like
from dlcore.nn.container import join
from dlcore.nn.layout import axis_of, unbroadcast
from dlcore.nn.module import Module


@dataclass(eq=False)
class CAddTable(Module):
    """The sum of the entries."""

    inplace: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        shapes = [entry.shape for entry in x]
        return reduce(np.add, x), lambda grad: [unbroadcast(grad, shape) for shape in shapes]


@dataclass(eq=False)
class CAveTable(Module):
    """The mean of the entries."""

    inplace: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        share = np.float32(1.0 / len(x))
        return reduce(np.add, x) * share, lambda grad: [grad * share for _ in x]


@dataclass(eq=False)
class CSubTable(Module):
    """The first entry minus the second."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = x
        return first - second, lambda grad: [unbroadcast(grad, first.shape), unbroadcast(-grad, second.shape)]


@dataclass(eq=False)
class CMulTable(Module):
    """The product of the entries."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        def pull(grad: Array) -> list[Array]:
            others = [np.prod(np.broadcast_arrays(*x[:i], *x[i + 1 :], np.float32(1)), axis=0) for i in range(len(x))]
            return [unbroadcast(grad * other, entry.shape) for other, entry in zip(others, x, strict=True)]

        return reduce(np.multiply, x), pull


@dataclass(eq=False)
class CDivTable(Module):
    """The first entry divided by the second."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = x
        y = first / second
        return y, lambda grad: [
            unbroadcast(grad / second, first.shape),
            unbroadcast(-grad * y / second, second.shape),
        ]


def _extreme(x: list[Array], choose: Callable[..., Any]) -> tuple[Array, Pullback]:
    stacked = np.stack(x)
    chosen = choose(stacked, axis=0)
    y = np.take_along_axis(stacked, chosen[None], axis=0)[0]
    return y, lambda grad: [grad * (chosen == i) for i in range(len(x))]


@dataclass(eq=False)
class CMaxTable(Module):
    """The largest of the entries, element by element."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        return _extreme(x, np.argmax)


@dataclass(eq=False)
class CMinTable(Module):
    """The smallest of the entries, element by element."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        return _extreme(x, np.argmin)


@dataclass(eq=False)
class JoinTable(Module):
    """The entries one after the other along `dimension`, which does not count the batch when the entries have one more
    dimension than `n_input_dims`.

    Example:
        >>> JoinTable(1, 1).forward([np.zeros((2, 3)), np.zeros((2, 4))]).shape
        (2, 7)
    """

    dimension: int
    n_input_dims: int

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, x[0].ndim, self.n_input_dims, self.label())
        ends = np.cumsum([entry.shape[axis] for entry in x])[:-1]
        return join(x, axis), lambda grad: np.split(grad, ends, axis=axis)


@dataclass(eq=False)
class SplitTable(Module):
    """A table of the slices along `dimension`, which disappears."""

    dimension: int
    n_input_dims: int = -1

    def apply(self, x: Array) -> tuple[list[Array], Pullback]:
        axis = axis_of(self.dimension, x.ndim, self.n_input_dims, self.label())
        return list(np.moveaxis(x, axis, 0)), lambda grad: np.stack(grad, axis=axis)


@dataclass(eq=False)
class BifurcateSplitTable(Module):
    """A table of the two halves along `dimension`; the second is larger by one when it is odd."""

    dimension: int

    def apply(self, x: Array) -> tuple[list[Array], Pullback]:
        axis = axis_of(self.dimension, x.ndim, 0, self.label())
        parts = np.split(x, [x.shape[axis] // 2], axis=axis)
        return parts, lambda grad: np.concatenate(grad, axis=axis)


@dataclass(eq=False)
class Pack(Module):
    """The entries stacked along a new dimension `dimension`; a single array counts as a table of one."""

    dimension: int

    def apply(self, x: Activity) -> tuple[Array, Pullback]:
        entries = x if isinstance(x, list) else [x]
        axis = self.dimension - 1

        def pull(grad: Array) -> Activity:
            parts: list[Activity] = list(np.moveaxis(grad, axis, 0))
            return parts if isinstance(x, list) else parts[0]

        return np.stack(entries, axis=axis), pull


@dataclass(eq=False)
class SelectTable(Module):
    """Entry `index` of the table; negative counts from the end."""

    index: int

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        position = self.index - 1 if self.index > 0 else len(x) + self.index
        if not 0 <= position < len(x) or self.index == 0:
            raise ValueError(f"{self.label()}: got a table of {len(x)}, expected an entry {self.index}")

        def pull(grad: Any) -> list[Any]:
            return [grad if i == position else zeros_like(entry) for i, entry in enumerate(x)]

        return x[position], pull


@dataclass(eq=False)
class NarrowTable(Module):
    """`length` entries from `offset` on; a negative length counts from the end."""

    offset: int
    length: int = 1

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        start = self.offset - 1
        end = start + self.length if self.length >= 0 else len(x) + self.length + 1
        if start < 0 or end > len(x) or end <= start:
            raise ValueError(f"{self.label()}: got a table of {len(x)}, expected entries {self.offset} to {end}")

        def pull(grad: Any) -> list[Any]:
            return [grad[i - start] if start <= i < end else zeros_like(entry) for i, entry in enumerate(x)]

        return x[start:end], pull


@dataclass(eq=False)
class FlattenTable(Module):
    """All arrays of a nested table in one flat table."""

    def apply(self, x: Activity) -> tuple[list[Array], Pullback]:
        return list(leaves(x)), lambda grad: _nested(x, iter(grad))


def _nested(model: Activity, arrays: Any) -> Activity:
    return [_nested(part, arrays) for part in model] if isinstance(model, list) else next(arrays)
