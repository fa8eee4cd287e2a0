"""Operations of ONNX as layers, as `bigdl.nn.onnx.layer` has them. Some share a name with a layer of
`dlcore.nn.layer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback, describe, float_type, zeros_like
from dlcore.nn.layout import unbroadcast
from dlcore.nn.module import Module

__all__ = ["Constant", "Gather", "Gemm", "Reshape", "Shape"]


@dataclass(eq=False)
class Constant(Module, namespace="nn.onnx"):
    """`value`, whatever comes in. x: anything -> the shape of `value`. Source: BigDL's onnx Constant."""

    value: Array

    def apply(self, x: Any) -> tuple[Array, Pullback]:
        return np.array(self.value, float_type(x)), lambda grad: zeros_like(x)


@dataclass(eq=False)
class Gather(Module, namespace="nn.onnx"):
    """The slices of the first entry at the 0-based places of the second, along the first dimension; -1 is the last.

    x: [(D, ...), places (...)] -> (places' shape, ...).
    Source: BigDL's onnx Gather.

    Raises:
        ValueError: a place that is not there.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        data, places = x[0], x[1].astype(np.intp)
        if places.size and not -len(data) <= places.min() <= places.max() < len(data):
            raise ValueError(f"{self.label()}: got places {places.tolist()}, expected 0 to {len(data) - 1}")

        def pull(grad: Array) -> list[Any]:
            back = np.zeros_like(data, grad.dtype)
            np.add.at(back, places, grad)
            return [back, zeros_like(x[1])]

        return data[places], pull


@dataclass(eq=False)
class Gemm(Module, namespace="nn.onnx"):
    """alpha x matrix_b + beta matrix_c, with x and matrix_b transposed if trans_a and trans_b say so; nothing is
    learned.

    x: (M, K), or (K, M) -> (M, N); matrix_b (K, N), or (N, K); matrix_c broadcasts to (M, N).
    Source: BigDL's onnx Gemm.

    Raises:
        ValueError: sizes that do not fit one another.
    """

    matrix_b: Array
    matrix_c: Array
    alpha: float = 1.0
    beta: float = 1.0
    trans_a: int = 0
    trans_b: int = 0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        rows, factor = (x.T if self.trans_a else x), np.ascontiguousarray(self.matrix_b, x.dtype)
        factor = x.dtype.type(self.alpha) * (factor.T if self.trans_b else factor)
        if rows.ndim != 2 or factor.ndim != 2 or rows.shape[1] != len(factor):
            raise ValueError(
                f"{self.label()}: got input {x.shape} for matrix_b {np.shape(self.matrix_b)}, expected (M, "
                f"{len(factor)}), "
                f"{'' if self.trans_a else 'not '}transposed"
            )
        y = kernels.matmul(rows, factor) + x.dtype.type(self.beta) * np.asarray(self.matrix_c, x.dtype)

        def pull(grad: Array) -> Array:
            back = kernels.matmul(unbroadcast(grad, (len(rows), factor.shape[1])), factor.T)
            return back.T if self.trans_a else back

        return y, pull


@dataclass(eq=False)
class Reshape(Module, namespace="nn.onnx"):
    """The same numbers in another shape, that of the constructor or of the second entry: 0 keeps a size, -1 takes what
    is left.

    x: (A, B), or [(A, B), shape (K,)] -> shape, such as (B, A).
    BigDL gives zeros as the gradient; here it is the gradient.
    Source: BigDL's onnx Reshape.

    Raises:
        ValueError: no shape, or one with another number of elements.
    """

    shape: list[int] | None = None

    def apply(self, x: Any) -> tuple[Array, Pullback]:
        data, wanted = (x[0], x[1].reshape(-1)) if isinstance(x, list) else (x, self.shape)
        if wanted is None:
            raise ValueError(
                f"{self.label()}: got {describe(x)} and no shape, expected a table of data and shape, or shape="
            )
        sizes = [int(size) or data.shape[i] for i, size in enumerate(wanted)]
        try:
            y = data.reshape(sizes)
        except ValueError:
            raise ValueError(
                f"{self.label()}: got input {data.shape}, expected as many elements as {sizes} has"
            ) from None

        def pull(grad: Array) -> Any:
            back = grad.reshape(data.shape)
            return [back, zeros_like(x[1])] if isinstance(x, list) else back

        return y, pull


@dataclass(eq=False)
class Shape(Module, namespace="nn.onnx"):
    """The sizes of the input. x: an array of K dimensions -> (K,). Source: BigDL's onnx Shape."""

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return np.array(x.shape, x.dtype), lambda grad: zeros_like(x)
