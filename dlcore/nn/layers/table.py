"""Layers that take or give tables. Dimensions and indices are 1-based."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, Pullback, describe, leaves, zeros_like
from dlcore.nn.container import join
from dlcore.nn.layout import axis_of, unbroadcast
from dlcore.nn.module import Module
from dlcore.nn.shapes import ActivityShape
from dlcore.rng import RNG

__all__ = [
    "BifurcateSplitTable",
    "CAddTable",
    "CAveTable",
    "CDivTable",
    "CMaxTable",
    "CMinTable",
    "CMulTable",
    "CSubTable",
    "FlattenTable",
    "GaussianSampler",
    "JoinTable",
    "MaskedSelect",
    "MixtureTable",
    "NarrowTable",
    "Pack",
    "SelectTable",
    "SplitTable",
    "TableOperation",
]

INTMAX = 2147483647
_COUNTS = {2: "two", 3: "three", 4: "four"}


def entries(x: Any, module: Module, count: int | None = None) -> list[Any]:
    """`x`, a table of `count` entries, or of one or more: numpy would take the rows of an array for entries.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(x, list) or not x:
        raise ValueError(
            f"{module.label()}: got input {describe(x)}, expected a table of arrays; give it several nodes or a list"
        )
    if count is not None and len(x) != count:
        raise ValueError(f"{module.label()}: got input {describe(x)}, expected a table of {_COUNTS[count]} entries")
    return x


@dataclass(eq=False)
class CAddTable(Module):
    """The sum of the entries. x: K arrays of one shape, or that broadcast -> that shape. Source: BigDL's CAddTable."""

    inplace: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        shapes = [entry.shape for entry in entries(x, self)]
        return reduce(np.add, x), lambda grad: [unbroadcast(grad, shape) for shape in shapes]


@dataclass(eq=False)
class CAveTable(Module):
    """The mean of the entries. x: K arrays of one shape, or that broadcast -> that shape. Source: BigDL's CAveTable."""

    inplace: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        share, shapes = 1.0 / len(entries(x, self)), [entry.shape for entry in x]
        return reduce(np.add, x) * share, lambda grad: [unbroadcast(grad * share, shape) for shape in shapes]


@dataclass(eq=False)
class CSubTable(Module):
    """The first entry minus the second.

    x: two arrays of one shape, or that broadcast -> that shape.
    Source: BigDL's CSubTable.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = entries(x, self)
        return first - second, lambda grad: [unbroadcast(grad, first.shape), unbroadcast(-grad, second.shape)]


@dataclass(eq=False)
class CMulTable(Module):
    """The product of the entries.

    x: K arrays of one shape, or that broadcast -> that shape.
    Source: BigDL's CMulTable.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        def pull(grad: Array) -> list[Array]:
            others = [np.prod(np.broadcast_arrays(*x[:i], *x[i + 1 :], np.float32(1)), axis=0) for i in range(len(x))]
            return [unbroadcast(grad * other, entry.shape) for other, entry in zip(others, x, strict=True)]

        return reduce(np.multiply, entries(x, self)), pull


@dataclass(eq=False)
class CDivTable(Module):
    """The first entry divided by the second.

    x: two arrays of one shape, or that broadcast -> that shape.
    Source: BigDL's CDivTable.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = entries(x, self)
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
    """The largest of the entries, element by element.

    x: K arrays of one shape -> that shape.
    Source: BigDL's CMaxTable.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        return _extreme(entries(x, self), np.argmax)


@dataclass(eq=False)
class CMinTable(Module):
    """The smallest of the entries, element by element.

    x: K arrays of one shape -> that shape.
    Source: BigDL's CMinTable.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        return _extreme(entries(x, self), np.argmin)


@dataclass(eq=False)
class JoinTable(Module):
    """The entries one after the other along `dimension`, which does not count the batch when the entries have one more
    dimension than `n_input_dims`.

    x: K arrays (A, D_k, B) with D_k at `dimension` -> (A, sum of D_k, B).
    Source: BigDL's JoinTable.

    Example:
        >>> JoinTable(1, 1).forward([np.zeros((2, 3)), np.zeros((2, 4))]).shape
        (2, 7)
    """

    dimension: int
    n_input_dims: int

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, entries(x, self)[0].ndim, self.n_input_dims, self.label())
        ends = np.cumsum([entry.shape[axis] for entry in x])[:-1]
        return join(x, axis), lambda grad: np.split(grad, ends, axis=axis)


@dataclass(eq=False)
class SplitTable(Module):
    """A table of the slices along `dimension`, which disappears.

    x: (A, D, B) with D at `dimension` -> D arrays (A, B).
    Source: BigDL's SplitTable.
    """

    dimension: int
    n_input_dims: int = -1

    def apply(self, x: Array) -> tuple[list[Array], Pullback]:
        axis = axis_of(self.dimension, x.ndim, self.n_input_dims, self.label())
        return list(np.moveaxis(x, axis, 0)), lambda grad: np.stack(grad, axis=axis)


@dataclass(eq=False)
class BifurcateSplitTable(Module):
    """A table of the two halves along `dimension`; the second is larger by one if the size is odd.

    x: (A, D, B) with D at `dimension` -> [(A, D // 2, B), (A, D - D // 2, B)].
    Source: BigDL's BifurcateSplitTable.
    """

    dimension: int

    def apply(self, x: Array) -> tuple[list[Array], Pullback]:
        axis = axis_of(self.dimension, x.ndim, 0, self.label())
        parts = np.split(x, [x.shape[axis] // 2], axis=axis)
        return parts, lambda grad: np.concatenate(grad, axis=axis)


@dataclass(eq=False)
class Pack(Module):
    """The entries stacked along a new dimension `dimension`; a single array counts as a table of one.

    x: K arrays (A, B) -> (A, K, B) with K at `dimension`.
    Source: BigDL's Pack.
    """

    dimension: int

    def apply(self, x: Activity) -> tuple[Array, Pullback]:
        entries: list[Any] = x if isinstance(x, list) else [x]
        axis = self.dimension - 1

        def pull(grad: Array) -> Activity:
            parts: list[Activity] = list(np.moveaxis(grad, axis, 0))
            return parts if isinstance(x, list) else parts[0]

        return np.stack(entries, axis=axis), pull


@dataclass(eq=False)
class SelectTable(Module):
    """Entry `index` of the table; a negative index counts from the end.

    x: a table -> one of its entries.
    Source: BigDL's SelectTable.
    """

    index: int

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        x = entries(x, self)
        position = self.index - 1 if self.index > 0 else len(x) + self.index
        if not 0 <= position < len(x) or self.index == 0:
            raise ValueError(f"{self.label()}: got a table of {len(x)}, expected an entry {self.index}")

        def pull(grad: Any) -> list[Any]:
            return [grad if i == position else zeros_like(entry) for i, entry in enumerate(x)]

        return x[position], pull


@dataclass(eq=False)
class NarrowTable(Module):
    """`length` entries from `offset` on; a negative length counts from the end.

    x: a table -> the table of `length` of its entries.
    Source: BigDL's NarrowTable.
    """

    offset: int
    length: int = 1

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        start, x = self.offset - 1, entries(x, self)
        end = start + self.length if self.length >= 0 else len(x) + self.length + 1
        if start < 0 or end > len(x) or end <= start:
            raise ValueError(f"{self.label()}: got a table of {len(x)}, expected entries {self.offset} to {end}")

        def pull(grad: Any) -> list[Any]:
            return [grad[i - start] if start <= i < end else zeros_like(entry) for i, entry in enumerate(x)]

        return x[start:end], pull


@dataclass(eq=False)
class FlattenTable(Module):
    """All arrays of a nested table in one flat table.

    x: tables in tables -> one table of their arrays, depth first.
    Source: BigDL's FlattenTable.
    """

    def apply(self, x: Activity) -> tuple[list[Array], Pullback]:
        return list(leaves(x)), lambda grad: _nested(x, iter(grad))


def _nested(model: Activity, arrays: Any) -> Activity:
    return [_nested(part, arrays) for part in model] if isinstance(model, list) else next(arrays)


def pair(x: Any, module: Module) -> tuple[Array, Array]:
    """The two entries of `x`; see `entries`."""
    first, second = entries(x, module, 2)
    return first, second


@dataclass(eq=False)
class TableOperation(Module):
    """A layer of two arrays, such as CMulTable, where one is first expanded to the size of the other.

    x: [array, array], of as many dimensions, where the smaller one has sizes of 1 -> what the layer makes of them.
    They stay in their order; BigDL puts the larger one first.
    Source: BigDL's TableOperation.
    """

    operation_layer: Module

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        first, second = pair(x, self)
        if first.ndim != second.ndim:
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected as many dimensions in both")
        y, pullback = self.operation_layer.apply(list(np.broadcast_arrays(first, second)))

        def pull(grad: Any) -> list[Array]:
            return [unbroadcast(part, entry.shape) for part, entry in zip(pullback(grad), (first, second), strict=True)]

        return y, pull


@dataclass(eq=False)
class MaskedSelect(Module):
    """The elements where the mask is not 0, row by row.

    x: [array, mask of its shape] -> (K,) for K nonzero elements of the mask.
    Source: BigDL's MaskedSelect.
    """

    is_dynamic = True

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        values, mask = pair(x, self)
        if values.shape != mask.shape:
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected a mask of the array's shape")
        chosen = mask != 0

        def pull(grad: Array) -> list[Any]:
            back = np.zeros(values.shape, grad.dtype)
            back[chosen] = grad
            return [back, zeros_like(mask)]

        return values[chosen], pull

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return (None,)


@dataclass(eq=False)
class MixtureTable(Module):
    """The sum of the experts, each weighted by the gater.

    x: [gater (N, E) or (E,), a table of E arrays (N, ...)] or [gater, array with the E experts along `dim`] -> (N,
    ...).
    dim: 1-based; 2 by default, or 1 for a gater without a batch.
    Source: BigDL's MixtureTable; Jacobs et al. 1991.

    Raises:
        ValueError: another number of experts than weights.
    """

    dim: int = INTMAX

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        gater, experts = pair(x, self)
        axis = (gater.ndim if self.dim == INTMAX else self.dim) - 1
        stacked = np.stack(experts, axis) if isinstance(experts, list) else experts
        if stacked.shape[axis] != gater.shape[-1]:
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected {gater.shape[-1]} experts")
        shape = [1] * stacked.ndim
        shape[axis] = gater.shape[-1]
        shape[: gater.ndim - 1] = gater.shape[:-1]
        share = gater.reshape(shape)

        def pull(grad: Array) -> list[Any]:
            wide = np.expand_dims(grad, axis)
            parts = wide * share
            grads = [np.take(parts, i, axis) for i in range(len(experts))] if isinstance(experts, list) else parts
            return [unbroadcast(wide * stacked, shape).reshape(gater.shape), grads]

        return (stacked * share).sum(axis=axis), pull


@dataclass(eq=False)
class GaussianSampler(Module):
    """mean + exp(log_variance / 2) e, e drawn from the normal distribution, in training and evaluation.

    x: [mean, log_variance] of one shape -> that shape.
    Source: BigDL's GaussianSampler; Kingma and Welling 2014.
    """

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        mean, log_variance = pair(x, self)
        if mean.shape != log_variance.shape:
            raise ValueError(
                f"{self.label()}: got input {describe(x)}, expected a mean and a log_variance of one shape"
            )
        noise = np.exp(log_variance * 0.5) * RNG.normal(0.0, 1.0, mean.shape, mean.dtype)
        return mean + noise, lambda grad: [grad, grad * noise * 0.5]
