"""Linear layers and matrix products over any BLAS-like sgemm."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.interface import Gradients
from dlcore.kernels.memory import contiguous, empty


class Operand(NamedTuple):
    """A matrix in memory as sgemm sees it; `step` is the distance of its rows (transposed: columns) in floats."""

    address: int
    step: int
    is_transposed: bool

    @classmethod
    def of(cls, x: Array) -> Operand | None:
        """The matrix `x` as it lies, or None if neither its rows nor its columns are contiguous."""
        sides = (
            (False, x.flags.c_contiguous, x.strides, x.shape[1]),
            (True, x.flags.f_contiguous, x.strides[::-1], x.shape[0]),
        )
        for is_transposed, is_whole, (outer, inner), length in sides:
            if is_whole or (inner == 4 and outer % 4 == 0 and outer >= 4 * length):
                return cls(int(x.ctypes.data), length if is_whole else outer // 4, is_transposed)
        return None


Sgemm: TypeAlias = Callable[[Operand, Operand, tuple[int, int, int], float, Operand], None]
"""sgemm(a, b, (M, N, K), start, y): y = a b + start * y, row-major."""


SMALL = 1 << 19
"""Most multiplications in one product of a stack for which numpy is faster: one of our calls takes microseconds
(attention makes many)."""


class MatrixProducts:
    """The operations of `interface.Kernels` that are matrix products, computed by one sgemm."""

    def __init__(self, sgemm: Sgemm) -> None:
        self._sgemm = sgemm

    def _multiply(self, a: Array, b: Array, y: Array, start: float = 0.0) -> None:
        """y = a b + start * y for matrices; `y` is contiguous."""
        (rows, inner), columns = a.shape, b.shape[1]
        if not (rows and inner and columns):
            y[...] = y * np.float32(start) if start else 0
            return
        left, right, result = Operand.of(a), Operand.of(b), Operand(int(y.ctypes.data), columns, False)
        if left is None or right is None:
            self._multiply(contiguous(a), contiguous(b), y, start)
            return
        self._sgemm(left, right, (rows, columns, inner), start, result)

    def matmul(self, a: Array, b: Array) -> Array:
        """See `interface.Kernels.matmul`."""
        leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if leading and a.shape[-2] * a.shape[-1] * b.shape[-1] <= SMALL:
            product: Array = np.matmul(a, b)
            return product
        y = empty((*leading, a.shape[-2], b.shape[-1]))
        left, right = (np.broadcast_to(part, leading + part.shape[-2:]) for part in (a, b))
        for position in np.ndindex(leading):
            self._multiply(left[position], right[position], y[position])
        return y

    def linear(self, x: Array, w: Array, b: Array | None, relu: bool = False) -> Array:
        """See `interface.Kernels.linear`."""
        y = empty((x.shape[0], w.shape[0]))
        if b is not None:
            y[...] = b
        self._multiply(x, w.T, y, 0.0 if b is None else 1.0)
        return np.maximum(y, 0, out=y) if relu else y

    def linear_backward(
        self, x: Array, w: Array, grad_y: Array, need_x: bool = True, need_w: bool = True, has_bias: bool = True
    ) -> Gradients:
        """See `interface.Kernels.linear_backward`."""
        grad_x, grad_w, grad_b = None, None, None
        if need_x:
            grad_x = empty(x.shape)
            self._multiply(grad_y, w, grad_x)
        if need_w:
            grad_w = empty(w.shape)
            self._multiply(grad_y.T, x, grad_w)
            grad_b = grad_y.sum(axis=0) if has_bias else None
        return grad_x, grad_w, grad_b
