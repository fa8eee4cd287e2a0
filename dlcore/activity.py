"""What flows between layers: an array, a sparse matrix, or a table (a list) of activities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[np.float32]
Places: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A matrix (N, M) of few values, by row (CSR): row i has values[starts[i] : starts[i + 1]], in the columns beside
    them.

    values: (K,) float32. columns: (K,), 0-based, in the order given. starts: (N + 1,), from 0 to K. Repeated places add
    up. It is read only by what takes it: nothing of it may be changed. Source: BigDL's JTensor.sparse.

    Raises:
        ValueError: the parts do not fit together.

    Example:
        >>> matrix = SparseMatrix.of([0, 2, 2], [1, 0, 3], None, (3, 4))
        >>> matrix.dense()
        array([[0., 1., 0., 0.],
               [0., 0., 0., 0.],
               [1., 0., 0., 1.]], dtype=float32)
    """

    values: Array
    columns: Places
    starts: Places
    width: int

    def __post_init__(self) -> None:
        count = len(self.values)
        if len(self.columns) != count or not len(self.starts) or self.starts[0] != 0 or self.starts[-1] != count:
            raise ValueError(
                f"got {count} values, {len(self.columns)} columns and row starts {self.starts}, expected as many "
                f"columns as "
                "values and starts from 0 to their number"
            )
        if (np.diff(self.starts) < 0).any():
            raise ValueError(f"got row starts {self.starts}, expected them to rise")
        if count and not 0 <= self.columns.min() <= self.columns.max() < self.width:
            raise ValueError(
                f"got columns {self.columns.min()} to {self.columns.max()}, expected 0 to {self.width - 1}"
            )

    @classmethod
    def of(cls, rows: Any, columns: Any, values: Any, shape: tuple[int, int]) -> SparseMatrix:
        """A matrix from the 0-based row and column of each value, in any order (COO); `values` None means ones.

        Raises:
            ValueError: lengths differ, or a place lies outside of `shape`.
        """
        row, column = np.asarray(rows, np.intp), np.asarray(columns, np.intp)
        value = np.ones(len(row), np.float32) if values is None else np.asarray(values, np.float32)
        if row.ndim != 1 or not row.shape == column.shape == value.shape:
            raise ValueError(
                f"got {row.shape} rows, {column.shape} columns, {value.shape} values, expected as many each"
            )
        if len(row) and not 0 <= row.min() <= row.max() < shape[0]:
            raise ValueError(f"got rows {row.min()} to {row.max()}, expected 0 to {shape[0] - 1}")
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(shape[0] + 1))
        return cls(value[order], column[order], starts, shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(N, M)."""
        return len(self.starts) - 1, self.width

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """That of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice | Places) -> SparseMatrix:
        """The matrix of these rows: a slice, or an array of numbers (repeated ones too) or of truth values.

        Raises:
            IndexError: there is no such row.
        """
        chosen = np.arange(len(self))[rows]
        if chosen.ndim != 1:
            raise IndexError(f"got rows {rows!r}, expected a slice or an array of rows; dense() gives single elements")
        counts = np.diff(self.starts)[chosen]
        starts = np.concatenate([np.zeros(1, np.intp), np.cumsum(counts)])
        places = np.arange(starts[-1]) + np.repeat(self.starts[:-1][chosen] - starts[:-1], counts)
        return SparseMatrix(self.values[places], self.columns[places], starts, self.width)

    def copy(self, order: str = "K") -> SparseMatrix:
        """The same in memory of its own; `order` is taken because arrays take it."""
        return SparseMatrix(self.values.copy(), self.columns.copy(), self.starts.copy(), self.width)

    def rows(self) -> Places:
        """The row of each value, (K,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def dense(self) -> Array:
        """The matrix as an array (N, M)."""
        full = np.zeros(self.shape, np.float32)
        np.add.at(full, (self.rows(), self.columns), self.values)
        return full

    @staticmethod
    def concatenate(parts: Sequence[SparseMatrix], axis: int = 0) -> SparseMatrix:
        """The matrices below one another (axis 0) or beside one another (axis 1).

        Raises:
            ValueError: no parts, or their other sizes differ.
        """
        sizes = {part.shape[1 - axis] for part in parts}
        if len(sizes) != 1:
            raise ValueError(
                f"got matrices {[part.shape for part in parts]}, expected equal sizes along axis {1 - axis}"
            )
        lengths = [part.shape[axis] for part in parts]
        offsets = np.repeat(np.cumsum([0, *lengths[:-1]]), [len(part.values) for part in parts])
        rows, columns = (
            np.concatenate([part.rows() for part in parts]),
            np.concatenate([part.columns for part in parts]),
        )
        values, size = np.concatenate([part.values for part in parts]), sizes.pop()
        if axis == 0:
            return SparseMatrix.of(rows + offsets, columns, values, (sum(lengths), size))
        return SparseMatrix.of(rows, columns + offsets, values, (size, sum(lengths)))


Activity: TypeAlias = Array | SparseMatrix | list["Activity"]
Pullback: TypeAlias = Callable[[Any], Any]
"""Maps the gradient of an output to the gradient of the input, and adds up parameter gradients on its way."""


_LARGEST_INTEGER = 1 << 24
_KEPT = tuple(np.dtype(kind) for kind in (np.float32, np.float64, np.int32, np.int64))


def as_activity(x: Any, kind: DTypeLike | None = None) -> Activity:
    """`x` with every leaf an array or a SparseMatrix; lists and tuples become tables, unless they hold plain numbers.

    Arrays of float32, float64 and whole numbers of 32 or 64 bits stay what they are; plain numbers and arrays of other
    types become float32. With `kind` every array becomes one of that type. Copies only where the type differs.

    Raises:
        ValueError: whole numbers that float32 does not hold would have to become it.
    """
    if _is_table(x):
        return [as_activity(part, kind) for part in x]
    if isinstance(x, SparseMatrix):
        return x
    if kind is None:
        kind = x.dtype if isinstance(x, (np.ndarray, np.generic)) and x.dtype in _KEPT else np.float32
    if np.dtype(kind) == np.float32:
        require_exact(np.asarray(x))
    return np.asarray(x, dtype=kind)


def require_exact(numbers: np.ndarray[Any, Any]) -> None:
    """Raise ValueError if `numbers` are whole and float32 does not hold them all: labels and places must not become
    others."""
    is_wide = numbers.dtype.kind in "iu" and numbers.itemsize > 2 and numbers.size
    if is_wide and max(-int(numbers.min()), int(numbers.max())) > _LARGEST_INTEGER:
        raise ValueError(
            f"got integers from {numbers.min()} to {numbers.max()}, expected at most {_LARGEST_INTEGER} in size: "
            f"float32 holds "
            "no more exactly; number them anew, or pass floats where rounding does no harm"
        )


def as_given(x: Any) -> Any:
    """`x` in the nesting of `as_activity`, with every array of the type it has."""
    if _is_table(x):
        return [as_given(part) for part in x]
    return x if isinstance(x, SparseMatrix) else np.asarray(x)


def _is_table(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and not (x and all(isinstance(part, (int, float, np.generic)) for part in x))


def float_type(x: Activity) -> np.dtype[Any]:
    """The type in which `x` is computed with: float64 where a leaf is of that type, else float32."""
    return np.dtype(np.float64 if any(leaf.dtype == np.float64 for leaf in leaves(x)) else np.float32)


def with_floats(x: Activity, kind: DTypeLike) -> Activity:
    """`x` with its floating-point leaves of type `kind`; whole numbers stay."""

    def converted(leaf: Any) -> Any:
        return leaf.astype(kind, copy=False) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" else leaf

    return map_leaves(converted, x)


def leaves(x: Activity) -> Iterator[Any]:
    """The arrays and sparse matrices of `x`, depth first."""
    if isinstance(x, list):
        for part in x:
            yield from leaves(part)
    else:
        yield x


def map_leaves(function: Callable[[Any], Any], x: Activity) -> Activity:
    """`function` of every array and sparse matrix of `x`, in the same nesting."""
    if isinstance(x, list):
        return [map_leaves(function, part) for part in x]
    result: Activity = function(x)
    return result


def add(first: Activity, second: Activity) -> Activity:
    """The sum of two activities of the same nesting, as new arrays.

    Raises:
        ValueError: the nestings differ, or hold sparse matrices.
    """
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            raise ValueError(f"got tables of {len(first)} and {len(second)} entries, expected equal lengths")
        return [add(a, b) for a, b in zip(first, second, strict=True)]
    if isinstance(first, list) or isinstance(second, list):
        raise ValueError("got a table and an array, expected two of the same nesting")
    if isinstance(first, SparseMatrix) or isinstance(second, SparseMatrix):
        raise ValueError("got a sparse matrix, expected arrays: the gradient of a sparse input is an array")
    return first + second


def zeros_like(x: Activity) -> Activity:
    """Zeros in the nesting of `x`: read-only views of one zero, which cost no memory."""
    return map_leaves(lambda leaf: np.broadcast_to(float_type(leaf).type(0), leaf.shape), x)


def describe(x: Activity) -> str:
    """The shapes of `x`, for messages: `(8, 3, 32, 32)` or `[(8, 3), sparse (8, 9000)]`."""
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(describe(part) for part in x) + "]"
    return f"sparse {x.shape}" if isinstance(x, SparseMatrix) else str(tuple(np.shape(x)))
