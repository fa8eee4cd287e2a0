"""Layers that rearrange: dimensions are 1-based and the batch counts, as in BigDL, unless a layer says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layout import axis_of
from dlcore.nn.module import Module

__all__ = [
    "Contiguous",
    "Identity",
    "Index",
    "InferReshape",
    "Masking",
    "Narrow",
    "Padding",
    "Replicate",
    "Reshape",
    "Reverse",
    "Select",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "View",
]

INTMAX = 2**31 - 1
INTMIN = -(2**31)


def _reshaped(x: Array, shape: tuple[int, ...], label: str) -> tuple[Array, Pullback]:
    try:
        y = x.reshape(shape)
    except ValueError:
        raise ValueError(f"{label}: got input {x.shape}, expected {shape} to have as many elements") from None
    return y, lambda grad: grad.reshape(x.shape)


@dataclass(eq=False)
class Identity(Module):
    """The input as it is. x: an array of any shape, or a table -> same shape. Source: BigDL's Identity."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda grad: grad


@dataclass(eq=False)
class Contiguous(Module):
    """x in contiguous, row-major memory. x: any shape -> same shape. Source: BigDL's Contiguous."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.ascontiguousarray(x), lambda grad: grad


@dataclass(eq=False)
class Reshape(Module):
    """Give each sample the shape `size`.

    x: (N, ...) -> (N, *size); without a batch any shape of as many elements -> size.
    batch_mode None: the first dimension is a batch unless the whole input has as many elements as `size` and its first
    dimension is not 1.
    Source: BigDL's Reshape.
    """

    size: list[int]
    batch_mode: bool | None = None

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        is_single = x.size == np.prod(self.size) and x.shape[0] != 1
        has_batch = not is_single if self.batch_mode is None else self.batch_mode
        return _reshaped(x, (x.shape[0], *self.size) if has_batch else tuple(self.size), self.label())


@dataclass(eq=False)
class View(Module):
    """Reshape each sample; one size may be -1.

    x: (N, ...) -> (N, *sizes).
    num_input_dims > 0: the number of dimensions of one sample; those before are the batch.
    Source: BigDL's View.
    """

    sizes: list[int] | int
    num_input_dims: int = 0

    def __post_init__(self) -> None:
        self.sizes = [self.sizes] if isinstance(self.sizes, int) else list(self.sizes)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        sizes = self.sizes if isinstance(self.sizes, list) else [self.sizes]
        known = abs(int(np.prod(sizes)))
        is_guessed = -1 not in sizes and (x.size != known or x.shape[0] == 1)
        has_batch = x.ndim > self.num_input_dims if self.num_input_dims > 0 else is_guessed
        batch = x.size // known if has_batch and -1 not in sizes and known else x.shape[0]
        return _reshaped(x, (batch, *sizes) if has_batch else tuple(sizes), self.label())


@dataclass(eq=False)
class InferReshape(Module):
    """Reshape to `size`, where -1 is inferred and 0 keeps the input's dimension; the batch is kept with batch_mode.

    x: any shape -> size, or (N, ...) -> (N, *size) with batch_mode. Source: BigDL's InferReshape.

    Example:
        >>> InferReshape([0, -1]).forward(np.zeros((2, 3, 4))).shape
        (2, 12)
    """

    size: list[int]
    batch_mode: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        source = x.shape[1:] if self.batch_mode else x.shape
        wanted = [source[i] if side == 0 else side for i, side in enumerate(self.size)]
        if self.batch_mode:
            wanted = [x.shape[0], *wanted]
        if -1 in wanted:
            known = int(np.prod([side for side in wanted if side != -1]))
            wanted[wanted.index(-1)] = x.size // known if known else 0
        return _reshaped(x, tuple(wanted), self.label())


@dataclass(eq=False)
class Squeeze(Module):
    """Remove dimension `dim`, or all of size 1 if it is None; with num_input_dims it does not count the batch.

    x: (A, 1, B) with 1 at `dim` -> (A, B). Source: BigDL's Squeeze.
    """

    dim: int | None = None
    num_input_dims: int = INTMIN

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if self.dim is None:
            return _reshaped(x, tuple(side for side in x.shape if side != 1), self.label())
        axis = axis_of(self.dim, x.ndim, self.num_input_dims, self.label())
        shape = x.shape if x.shape[axis] != 1 else (*x.shape[:axis], *x.shape[axis + 1 :])
        return _reshaped(x, shape, self.label())


@dataclass(eq=False)
class Unsqueeze(Module):
    """Insert a dimension of size 1 at `pos`; with num_input_dims it does not count the batch.

    x: (A, B) -> (A, 1, B) with 1 at `pos`. Source: BigDL's Unsqueeze.
    """

    pos: int
    num_input_dims: int = INTMIN

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = self.pos - 1 + (1 if 0 < self.num_input_dims == x.ndim - 1 else 0)
        if not 0 <= axis <= x.ndim:
            raise ValueError(f"{self.label()}: got pos {self.pos} for input {x.shape}, expected 1 to {x.ndim + 1}")
        return np.expand_dims(x, axis), lambda grad: grad.reshape(x.shape)


@dataclass(eq=False)
class Transpose(Module):
    """Swap pairs of dimensions, one pair after the other; a view.

    x: any shape -> its sizes in the new order. Source: BigDL's Transpose.

    Example:
        >>> Transpose([(2, 3), (3, 4)]).forward(np.zeros((2, 5, 6, 7))).shape  # (N, C, H, W) -> (N, H, W, C)
        (2, 6, 7, 5)
    """

    permutations: list[tuple[int, int]]

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        order = list(range(x.ndim))
        for first, second in self.permutations:
            a, b = (axis_of(dim, x.ndim, 0, self.label()) for dim in (first, second))
            order[a], order[b] = order[b], order[a]
        back = np.argsort(order)
        return x.transpose(order), lambda grad: grad.transpose(back)


@dataclass(eq=False)
class Replicate(Module):
    """Repeat the input `n_features` times along a new dimension `dim`; with n_dim it does not count the batch.

    x: (A, B) -> (A, n_features, B) with n_features at `dim`. Source: BigDL's Replicate.
    """

    n_features: int
    dim: int = 1
    n_dim: int = INTMAX

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = self.dim - 1 + (1 if 0 < self.n_dim == x.ndim - 1 else 0)
        y = np.repeat(np.expand_dims(x, axis), self.n_features, axis=axis)
        return y, lambda grad: grad.sum(axis=axis)


@dataclass(eq=False)
class Tile(Module):
    """Repeat the input `copies` times along dimension `dim`.

    x: (A, D, B) with D at `dim` -> (A, D copies, B). Source: BigDL's Tile.
    """

    dim: int = 1
    copies: int = 2

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dim, x.ndim, 0, self.label())
        y = np.concatenate([x] * self.copies, axis=axis)
        return y, lambda grad: sum(np.split(grad, self.copies, axis=axis))


def picked(x: Array, index: tuple[slice | int, ...]) -> tuple[Array, Pullback]:
    """x[index]; each place is taken once."""

    def pull(grad: Array) -> Array:
        back = np.zeros_like(x, grad.dtype)
        back[index] = grad
        return back

    return x[index], pull


@dataclass(eq=False)
class Select(Module):
    """The slice at `index` (1-based, negative from the end) of dimension `dim`, which disappears.

    x: (A, D, B) with D at `dim` -> (A, B). Source: BigDL's Select.
    """

    dim: int
    index: int

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dim, x.ndim, 0, self.label())
        position = self.index - 1 if self.index > 0 else x.shape[axis] + self.index
        if not 0 <= position < x.shape[axis] or self.index == 0:
            raise ValueError(f"{self.label()}: got index {self.index}, expected 1 to {x.shape[axis]} or negative")
        return picked(x, (*[slice(None)] * axis, position))


@dataclass(eq=False)
class Narrow(Module):
    """`length` slices from `offset` (1-based) of dimension `dimension`; a negative length counts from the end.

    x: (A, D, B) with D at `dimension` -> (A, length, B). Source: BigDL's Narrow.
    """

    dimension: int
    offset: int
    length: int = 1

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, x.ndim, 0, self.label())
        start = self.offset - 1
        length = x.shape[axis] - start + self.length + 1 if self.length < 0 else self.length
        if start < 0 or length < 1 or start + length > x.shape[axis]:
            raise ValueError(
                f"{self.label()}: got offset {self.offset} and length {self.length}, "
                f"expected them inside the {x.shape[axis]} entries of dimension {self.dimension}"
            )
        return picked(x, (*[slice(None)] * axis, slice(start, start + length)))


@dataclass(eq=False)
class Reverse(Module):
    """The entries of dimension `dimension` in reverse order; a view.

    x: any shape -> same shape. Source: BigDL's Reverse.
    """

    dimension: int = 1
    is_inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, x.ndim, 0, self.label())
        return np.flip(x, axis), lambda grad: np.flip(grad, axis)


@dataclass(eq=False)
class Padding(Module):
    """Add |pad| entries of `value` to dimension `dim`: before it if pad < 0, else after it; with n_input_dim, `dim`
    does not count the batch.

    x: (A, D, B) with D at `dim` -> (A, D + |pad|, B). Source: BigDL's Padding.
    """

    dim: int
    pad: int
    n_input_dim: int
    value: float = 0.0
    n_index: int = 1

    def __post_init__(self) -> None:
        if self.n_index != 1:
            raise ValueError(f"{self.label()}: got n_index {self.n_index}, expected 1 (padding at the border)")

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dim, x.ndim, self.n_input_dim, self.label())
        before, after = (-self.pad, 0) if self.pad < 0 else (0, self.pad)
        widths = [(0, 0)] * x.ndim
        widths[axis] = (before, after)
        inside = (*[slice(None)] * axis, slice(before, before + x.shape[axis]))
        return np.pad(x, widths, constant_values=self.value), lambda grad: grad[inside]


@dataclass(eq=False)
class Masking(Module):
    """Zero the steps whose values all equal mask_value. x: (N, T, ...) -> same shape. Source: BigDL's Masking."""

    mask_value: float

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        kept = (x != self.mask_value).any(axis=tuple(range(2, x.ndim)), keepdims=True)
        return x * kept, lambda grad: grad * kept


@dataclass(eq=False)
class Index(Module):
    """The slices of the first entry along `dimension` whose 1-based indices are in the second entry.

    x: [(A, D, B) with D at `dimension`, (K,)] -> (A, K, B). Source: BigDL's Index.
    """

    dimension: int

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        source, places = x[0], x[1].astype(np.intp) - 1
        axis = axis_of(self.dimension, source.ndim, 0, self.label())
        if places.size and not 0 <= places.min() <= places.max() < source.shape[axis]:
            raise ValueError(f"{self.label()}: got places {x[1]}, expected 1 to {source.shape[axis]}")

        def pull(grad: Array) -> list[Array]:
            back = np.zeros_like(source, grad.dtype)
            np.add.at(np.moveaxis(back, axis, 0), places, np.moveaxis(grad, axis, 0))
            return [back, np.zeros_like(x[1], grad.dtype)]

        return np.take(source, places, axis=axis), pull
