"""How a spatial layer sees its input: always as (N, C, ...), whatever the data format and with or without a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.memory import channels_first, channels_to_end

SAME = -1
"""The padding that keeps ceil(size / stride), as in BigDL."""


@dataclass(frozen=True)
class Layout:
    """Enters (N, C, ...) and leaves it again, by views only. `is_nhwc`: the channels come last, whatever the rank."""

    is_nhwc: bool
    has_batch: bool

    @classmethod
    def of(cls, x: Array, data_format: str, channels: int | None, label: str, rank: int = 2) -> Layout:
        """The layout of `x` with `rank` spatial dimensions; `channels` is checked unless None.

        Raises:
            ValueError: `x` has another number of dimensions or of planes, or the format is unknown.
        """
        if data_format.upper() not in ("NCHW", "NHWC"):
            raise ValueError(f"{label}: got data_format {data_format!r}, expected 'NCHW' or 'NHWC'")
        layout = cls(data_format.upper() == "NHWC", x.ndim == rank + 2)
        if x.ndim not in (rank + 1, rank + 2):
            raise ValueError(
                f"{label}: got input {x.shape}, expected {rank + 2} dimensions (or {rank + 1} for a single sample)"
            )
        planes = x.shape[-1] if layout.is_nhwc else x.shape[-1 - rank]
        if channels is not None and planes != channels:
            raise ValueError(
                f"{label}: got input {x.shape} with {planes} planes, expected {channels}; build the layer with "
                f"{planes} input planes or convert the input"
            )
        return layout

    def enter(self, x: Array) -> Array:
        """The array as (N, C, ...)."""
        x = x if self.has_batch else x[None]
        return channels_first(x) if self.is_nhwc else x

    def leave(self, y: Array) -> Array:
        """Back to the caller's layout."""
        y = channels_to_end(y) if self.is_nhwc else y
        return y if self.has_batch else y[0]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) such that ceil(size / stride) windows fit; `kernel` counts dilation."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def places(size: int, kernel: int, stride: int) -> int:
    """How many windows fit into `size`, below 1 when none does; `kernel` counts dilation, `size` its padding."""
    return (size - kernel) // stride + 1


def channel_sum(x: Array) -> Array:
    """(N, C, ...) -> (C,): the sum over all else."""
    if x.ndim == 2:
        summed: Array = x.sum(axis=0)
        return summed
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    total: Array = np.ones(len(rows), np.float32) @ rows
    return total


def unbroadcast(grad: Array, shape: Sequence[int]) -> Array:
    """The sum of `grad` over the axes along which an array of `shape` was broadcast to it."""
    extra = grad.ndim - len(shape)
    axes = tuple(i for i in range(grad.ndim) if i < extra or (shape[i - extra] == 1 and grad.shape[i] != 1))
    total: Array = grad.sum(axis=axes) if axes else grad
    return total.reshape(tuple(shape))


def axis_of(dim: int, ndim: int, n_input_dims: int, label: str) -> int:
    """The 0-based axis of BigDL's 1-based `dim`.

    With `n_input_dims` > 0, `dim` counts without the batch when the input has one more dimension. Negative counts from
    the end.

    Raises:
        ValueError: there is no such dimension.
    """
    shift = 1 if 0 < n_input_dims == ndim - 1 else 0
    axis = ndim + dim if dim < 0 else dim - 1 + shift
    if not 0 <= axis < ndim:
        raise ValueError(
            f"{label}: got dimension {dim} for an input of {ndim} dimensions, expected 1 to {ndim - shift}"
        )
    return axis
