"""Layers that reduce one dimension. Dimensions are 1-based; with n_input_dims they do not count the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array, Pullback
from dlcore.nn.layers.shape import INTMIN
from dlcore.nn.layout import axis_of
from dlcore.nn.module import Module

__all__ = ["Max", "Mean", "Min", "Sum"]


def _summed(x: Array, axis: int, share: float, is_squeezed: bool) -> tuple[Array, Pullback]:
    factor = float(share)
    y = x.sum(axis=axis, keepdims=not is_squeezed) * factor

    def pull(grad: Array) -> Array:
        kept = np.expand_dims(grad, axis) if is_squeezed else grad
        return np.broadcast_to(kept * factor, x.shape)

    return y, pull


@dataclass(eq=False)
class Mean(Module):
    """The mean over `dimension`, which disappears unless squeeze=False.

    x: (A, D, B) with D at `dimension` -> (A, B), or (A, 1, B) with squeeze=False.
    Source: BigDL's Mean.
    """

    dimension: int = 1
    n_input_dims: int = -1
    squeeze: bool = True

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, x.ndim, self.n_input_dims, self.label())
        return _summed(x, axis, 1.0 / x.shape[axis], self.squeeze)


def _extreme(module: Max | Min, x: Array, choose: Callable[..., Any]) -> tuple[Array, Pullback]:
    axis = axis_of(module.dim, x.ndim, module.num_input_dims, module.label())
    chosen = np.expand_dims(choose(x, axis=axis), axis)

    def pull(grad: Array) -> Array:
        back = np.zeros_like(x, grad.dtype)
        np.put_along_axis(back, chosen, np.expand_dims(grad, axis), axis=axis)
        return back

    return np.take_along_axis(x, chosen, axis=axis).squeeze(axis), pull


@dataclass(eq=False)
class Max(Module):
    """The maximum over `dim`, which disappears; the gradient goes to the first maximum.

    x: (A, D, B) with D at `dim` -> (A, B).
    Source: BigDL's Max.
    """

    dim: int
    num_input_dims: int = INTMIN

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _extreme(self, x, np.argmax)


@dataclass(eq=False)
class Min(Module):
    """The minimum over `dim`, which disappears; the gradient goes to the first minimum.

    x: (A, D, B) with D at `dim` -> (A, B).
    Source: BigDL's Min.
    """

    dim: int = 1
    num_input_dims: int = INTMIN

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _extreme(self, x, np.argmin)


@dataclass(eq=False)
class Sum(Module):
    """The mean over `dimension`, kept with size 1; with squeeze=False the sum; with size_average=True the dimension
    disappears.

    x: (A, D, B) with D at `dimension` -> (A, 1, B), or (A, B) with size_average=True.
    These are the results of BigDL 0.13, whose Python class hands its two flags over in the other's place; for a plain
    sum that removes the dimension write `Sum(dimension, size_average=True, squeeze=False)`.
    Source: BigDL's Sum.
    """

    dimension: int = 1
    n_input_dims: int = -1
    size_average: bool = False
    squeeze: bool = True

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        axis = axis_of(self.dimension, x.ndim, self.n_input_dims, self.label())
        return _summed(x, axis, 1.0 / x.shape[axis] if self.squeeze else 1.0, self.size_average)
