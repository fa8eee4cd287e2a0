"""Layers that rearrange: dimensions are 1-based and the batch counts, as in BigDL, unless a layer says otherwise."""

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layout import axis_of
from dlcore.nn.module import Module

INTMIN = -(2**31)


def _reshaped(x: Array, shape: tuple[int, ...], label: str) -> tuple[Array, Pullback]:
    try:
        y = x.reshape(shape)
    except ValueError:
        raise ValueError(f"{label}: got input {x.shape}, expected {shape} to have as many elements") from None
    return y, lambda grad: grad.reshape(x.shape)


@dataclass(eq=False)
class Identity(Module):
    """x."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return x, lambda grad: grad


@dataclass(eq=False)
class Contiguous(Module):
    """x in row-major memory of its logical order."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.ascontiguousarray(x), lambda grad: grad


@dataclass(eq=False)
class Reshape(Module):
    """Give each sample the shape `size`.

    batch_mode None: the first dimension is a batch unless the whole input has as many elements as `size` and its first
    dimension is not 1.
    """

    size: list[int]
    batch_mode: bool | None = None

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        is_single = x.size == np.prod(self.size) and x.shape[0] != 1
        has_batch = not is_single if self.batch_mode is None else self.batch_mode
        return _reshaped(x, (x.shape[0], *self.size) if has_batch else tuple(self.size), self.label())


@dataclass(eq=False)
class View(Module):
    """Reshape without naming the batch; one size may be -1.

    num_input_dims > 0: the dimensions of one sample, those before are the batch.
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
    """Remove dimension `dim`, or all of size 1 with dim None; num_input_dims counts it without the batch."""

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
    """Insert a dimension of size 1 at `pos`; num_input_dims counts it without the batch."""

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
    """Repeat the input `n_features` times along a new dimension `dim`; n_dim counts it without the batch."""

    n_features: int
    dim: int = 1
    n_dim: int = INTMIN

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = self.dim - 1 + (1 if 0 < self.n_dim == x.ndim - 1 else 0)
        y = np.repeat(np.expand_dims(x, axis), self.n_features, axis=axis)
        return y, lambda grad: grad.sum(axis=axis)


@dataclass(eq=False)
class Tile(Module):
    """Repeat the input `copies` times along dimension `dim`."""

    dim: int = 1
    copies: int = 2

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dim, x.ndim, 0, self.label())
        y = np.concatenate([x] * self.copies, axis=axis)
        return y, lambda grad: sum(np.split(grad, self.copies, axis=axis))


def _picked(x: Array, index: tuple[slice | int, ...]) -> tuple[Array, Pullback]:
    def pull(grad: Array) -> Array:
        back = np.zeros_like(x)
        back[index] = grad
        return back

    return x[index], pull


@dataclass(eq=False)
class Select(Module):
    """The slice at `index` (1-based, negative from the end) of dimension `dim`, which disappears."""

    dim: int
    index: int

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dim, x.ndim, 0, self.label())
        position = self.index - 1 if self.index > 0 else x.shape[axis] + self.index
        if not 0 <= position < x.shape[axis] or self.index == 0:
            raise ValueError(f"{self.label()}: got index {self.index}, expected 1 to {x.shape[axis]} or negative")
        return _picked(x, (*[slice(None)] * axis, position))


@dataclass(eq=False)
class Narrow(Module):
    """`length` slices from `offset` (1-based) of dimension `dimension`; a negative length counts from the end."""

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
        return _picked(x, (*[slice(None)] * axis, slice(start, start + length)))


@dataclass(eq=False)
class Reverse(Module):
    """The entries of dimension `dimension` in reverse order; a view."""

    dimension: int = 1
    is_inplace: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, x.ndim, 0, self.label())
        return np.flip(x, axis), lambda grad: np.flip(grad, axis)


@dataclass(eq=False)
class Padding(Module):
    """Add |pad| entries of `value` to dimension `dim`: before it when pad < 0, else after; n_input_dim excludes the batch."""

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
class SpatialZeroPadding(Module):
    """Zeros around the image; negative numbers crop. x: (C, H, W) or (N, C, H, W)."""

    pad_left: int
    pad_right: int
    pad_top: int
    pad_bottom: int

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        height, width = x.shape[-2:]
        y = np.zeros((*x.shape[:-2], height + self.pad_top + self.pad_bottom, width + self.pad_left + self.pad_right))
        y = y.astype(np.float32)
        target = _overlap(y.shape[-2], self.pad_top, height), _overlap(y.shape[-1], self.pad_left, width)
        source = _overlap(height, -self.pad_top, y.shape[-2]), _overlap(width, -self.pad_left, y.shape[-1])
        y[..., target[0], target[1]] = x[..., source[0], source[1]]

        def pull(grad: Array) -> Array:
            back = np.zeros_like(x)
            back[..., source[0], source[1]] = grad[..., target[0], target[1]]
            return back

        return y, pull


def _overlap(size: int, offset: int, other: int) -> slice:
    """Where a stretch of length `other` that starts at `offset` lies within `size` entries."""
    return slice(max(offset, 0), min(offset + other, size))


@dataclass(eq=False)
class Cropping2D(Module):
    """Cut rows (top, bottom) and columns (left, right) off the image. x: (N, C, H, W), or (N, H, W, C) for NHWC."""

    heightCrop: list[int]
    widthCrop: list[int]
    data_format: str = "NCHW"

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        first = x.ndim - 2 if self.data_format.upper() == "NCHW" else x.ndim - 3
        (top, bottom), (left, right) = self.heightCrop, self.widthCrop
        height, width = x.shape[first], x.shape[first + 1]
        if top + bottom >= height or left + right >= width:
            raise ValueError(f"{self.label()}: got input {x.shape}, expected more than the cropped rows and columns")
        return _picked(x, (*[slice(None)] * first, slice(top, height - bottom), slice(left, width - right)))


@dataclass(eq=False)
class Masking(Module):
    """Zero the steps of (N, T, ...) whose values all equal mask_value."""

    mask_value: float

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        kept = (x != self.mask_value).any(axis=tuple(range(2, x.ndim)), keepdims=True)
        return x * kept, lambda grad: grad * kept


@dataclass(eq=False)
class Index(Module):
    """The slices of the first entry along `dimension` at the 1-based places of the second entry, (K,)."""

    dimension: int

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        source, places = x[0], x[1].astype(np.intp) - 1
        axis = axis_of(self.dimension, source.ndim, 0, self.label())
        if places.size and not 0 <= places.min() <= places.max() < source.shape[axis]:
            raise ValueError(f"{self.label()}: got places {x[1]}, expected 1 to {source.shape[axis]}")

        def pull(grad: Array) -> list[Array]:
            back = np.zeros_like(source)
            np.add.at(np.moveaxis(back, axis, 0), places, np.moveaxis(grad, axis, 0))
            return [back, np.zeros_like(x[1])]

        return np.take(source, places, axis=axis), pull
