"""Layers of sparse matrices; each also takes an array (N, M), whose nonzero elements it uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Array, Places, Pullback, SparseMatrix, describe
from dlcore.nn.init import RandomNormal
from dlcore.nn.layers.table import entries, pair
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.shapes import blank
from dlcore.nn.weights import Regularizer, create_weights, require_sizes

__all__ = ["DenseToSparse", "LookupTableSparse", "SparseJoinTable", "SparseLinear"]

COMBINERS: dict[str, Callable[[Array, Places, int], Any]] = {
    "sum": lambda weights, rows, count: np.ones(count, weights.dtype),
    "mean": lambda weights, rows, count: np.bincount(rows, weights, count),
    "sqrtn": lambda weights, rows, count: np.sqrt(np.bincount(rows, np.square(weights), count)),
}
"""What the weighted sum of a row is divided by."""


def as_sparse(x: Any, module: Module) -> SparseMatrix:
    """`x`, or what is not zero of an array.

    Raises:
        ValueError: it is neither a sparse matrix nor an array of two dimensions.
    """
    if isinstance(x, SparseMatrix):
        return x
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        raise ValueError(f"{module.label()}: got input {describe(x)}, expected a sparse matrix (N, M)")
    rows, columns = np.nonzero(x)
    return SparseMatrix.of(rows, columns, x[rows, columns], x.shape)


def summed_at(places: Places, parts: Array, count: int) -> Array:
    """(count, D): the sum of the rows of `parts` (K, D) by their place; sorted first, since adding one by one is
    slow."""
    total = np.zeros((count, parts.shape[1]), parts.dtype)
    order = np.argsort(places, kind="stable")
    found, starts = np.unique(places[order], return_index=True)
    if len(found):
        total[found] = np.add.reduceat(parts[order], starts, axis=0)
    return total


def _nothing(x: Any, grad: Array) -> Array:
    """The gradient of a sparse input that has none: zeros that take no memory."""
    none: Array = np.broadcast_to(grad.dtype.type(0), x.shape)
    return none


@dataclass(eq=False)
class SparseLinear(Module):
    """y = x W^T + b for a sparse x.

    x: sparse (N, input_size) -> (N, output_size); weight (output_size, input_size).
    The input's gradient is that of backwardLength columns from backwardStart (1-based) on; other columns get zeros.
    Source: BigDL's SparseLinear.

    Raises:
        ValueError: another shape of input, or columns that it does not have.
    """

    input_size: int
    output_size: int
    with_bias: bool = True
    backwardStart: int = -1
    backwardLength: int = -1
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    init_weight: InitVar[Array | None] = None
    init_bias: InitVar[Array | None] = None
    init_grad_weight: InitVar[Array | None] = None
    init_grad_bias: InitVar[Array | None] = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self, *initial: Array | None) -> None:
        start, length = self.backwardStart - 1, self.backwardLength
        self._window = slice(start, start + length) if start >= 0 and length > 0 else slice(0, 0)
        if self._window.stop > self.input_size:
            raise ValueError(f"{self.label()}: got columns to {self._window.stop}, expected up to {self.input_size}")
        shapes = (self.output_size, self.input_size), (self.output_size,) if self.with_bias else None
        regularizers = self.wRegularizer, self.bRegularizer
        fans = self.input_size, self.output_size
        self.weight, self.bias = create_weights(self, *shapes, fans, regularizers, initial=initial)

    def apply(self, x: Any) -> tuple[Array, Pullback]:
        matrix = as_sparse(x, self)
        if matrix.width != self.input_size:
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected (N, {self.input_size})")
        values, rows, weight, bias = matrix.values[:, None], matrix.rows(), self.weight, self.bias
        y = summed_at(rows, weight.value.T[matrix.columns] * values, len(matrix))

        def pull(grad: Array) -> Array:
            weight.accumulate(summed_at(matrix.columns, grad[rows] * values, self.input_size).T)
            if bias is not None:
                bias.accumulate(grad.sum(axis=0))
            if self._window.stop == 0:
                return _nothing(x, grad)
            back = np.zeros(x.shape, grad.dtype)
            back[:, self._window] = grad @ weight.value[:, self._window]
            return back

        return y if bias is None else y + bias.value, pull

    def outline(self, x: Any) -> Array:
        shape: Array = blank((len(x), self.output_size))
        return shape if x.shape[1:] == (self.input_size,) else self.apply(x)[0]


@dataclass(eq=False)
class DenseToSparse(Module):
    """The nonzero elements, as a sparse matrix; the gradient goes back to all elements.

    x: (N, M) -> sparse (N, M).
    Source: BigDL's DenseToSparse.
    """

    is_dynamic = True

    def apply(self, x: Array) -> tuple[SparseMatrix, Pullback]:
        return as_sparse(x, self), lambda grad: grad


@dataclass(eq=False)
class SparseJoinTable(Module):
    """Join sparse matrices side by side (dimension 2) or one below the other (1).

    x: K sparse matrices (N, M_k) -> sparse (N, sum of M_k).
    Each gets its own part of the gradient; in BigDL each gets the whole.
    Source: BigDL's SparseJoinTable.

    Raises:
        ValueError: another dimension, or sizes that do not fit.
    """

    is_dynamic = True
    dimension: int

    def __post_init__(self) -> None:
        if self.dimension not in (1, 2):
            raise ValueError(f"{self.label()}: got dimension {self.dimension}, expected 1 or 2")

    def apply(self, x: list[Any]) -> tuple[SparseMatrix, Pullback]:
        axis = self.dimension - 1
        ends = np.cumsum([part.shape[axis] for part in entries(x, self)])[:-1]
        joined = SparseMatrix.concatenate([as_sparse(part, self) for part in x], axis)
        return joined, lambda grad: np.split(grad, ends, axis)


@dataclass(eq=False)
class LookupTableSparse(Module):
    """For each row of numbers, the sum of their vectors; combiner 'mean' divides it by their count, 'sqrtn' by its
    square root.

    x: sparse (N, M) of 1-based numbers, or [numbers, weights] with the same positions -> (N, n_output); weight
    (n_index, n_output).
    With weights w the sum is that of w v, divided by sum(w) for 'mean' and by sqrt(sum(w^2)) for 'sqrtn'. A row without
    numbers gives zeros. Vectors longer than max_norm, if that is positive, are shortened, and the gradient takes this
    into account. Weights and numbers have no gradient.
    Source: BigDL's LookupTableSparse.

    Raises:
        ValueError: an unknown combiner, a number outside 1..n_index, or weights at other positions.

    Example:
        >>> numbers = SparseMatrix.of([0, 0, 2], [0, 1, 0], [4, 7, 4], (3, 2))
        >>> LookupTableSparse(9, 5, "mean").forward(numbers).shape
        (3, 5)
    """

    n_index: int
    n_output: int
    combiner: str = "sum"
    max_norm: float = -1.0
    wRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.combiner.lower() not in COMBINERS:
            raise ValueError(f"{self.label()}: got combiner {self.combiner!r}, expected one of {', '.join(COMBINERS)}")
        shape = self.n_index, self.n_output
        require_sizes(self, shape)
        self.weight = Parameter.create(shape, RandomNormal(0.0, 1.0), shape, self.wRegularizer)

    def apply(self, x: Any) -> tuple[Array, Pullback]:
        numbers, weights = self._numbers_and_weights(x)
        rows, places = numbers.rows(), numbers.values.astype(np.intp) - 1
        if len(places) and not 0 <= places.min() <= places.max() < self.n_index:
            raise ValueError(
                f"{self.label()}: got numbers {places.min() + 1} to {places.max() + 1}, expected 1 to {self.n_index}"
            )
        vectors = self.weight.value[places]
        divisors = COMBINERS[self.combiner.lower()](weights, rows, len(numbers)).astype(vectors.dtype)
        shares = (weights / divisors[rows])[:, None]
        shortened, pull_shortened = self._shortened(vectors)

        def pull(grad: Array) -> Any:
            self.weight.accumulate(summed_at(places, pull_shortened(grad[rows] * shares), self.n_index))
            return [_nothing(part, grad) for part in x] if isinstance(x, list) else _nothing(x, grad)

        return summed_at(rows, shortened * shares, len(numbers)), pull

    def outline(self, x: Any) -> Array:
        shape: Array = blank((len(x[0] if isinstance(x, list) else x), self.n_output))
        return shape

    def _numbers_and_weights(self, x: Any) -> tuple[SparseMatrix, Array]:
        if not isinstance(x, list):
            numbers = as_sparse(x, self)
            return numbers, np.ones(len(numbers.values), np.float32)
        first, second = pair(x, self)
        numbers, weights = as_sparse(first, self), as_sparse(second, self)
        same = numbers.shape == weights.shape and np.array_equal(numbers.starts, weights.starts)
        if not same or not np.array_equal(numbers.columns, weights.columns):
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected weights at the places of the numbers")
        return numbers, weights.values

    def _shortened(self, vectors: Array) -> tuple[Array, Pullback]:
        """`vectors` (K, n_output), none longer than max_norm."""
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        is_long = norms > self.max_norm
        if self.max_norm <= 0 or not is_long.any():
            return vectors, lambda grad: grad
        factors = np.where(is_long, self.max_norm / np.maximum(norms, self.max_norm), 1).astype(vectors.dtype)

        def pull(grad: Array) -> Array:
            along = (vectors * grad).sum(axis=1, keepdims=True) / np.square(np.maximum(norms, self.max_norm))
            back: Array = factors * (grad - is_long * vectors * along)
            return back

        return vectors * factors, pull
