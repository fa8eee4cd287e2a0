"""Products and distances of the entries of a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.layers.table import entries
from dlcore.nn.layout import unbroadcast
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.weights import Regularizer, create_weights

__all__ = ["MM", "MV", "Bilinear", "CosineDistance", "CrossProduct", "DotProduct", "Gemm", "PairwiseDistance"]

_TINY = np.float32(1e-12)


def _turned(x: Array, is_turned: bool) -> Array:
    return np.swapaxes(x, -1, -2) if is_turned else x


@dataclass(eq=False)
class MM(Module):
    """The matrix product of two entries; trans_a and trans_b transpose them first.

    x: [(..., M, K), (..., K, N)], whose leading sizes broadcast -> (..., M, N).
    Source: BigDL's MM.
    """

    trans_a: bool = False
    trans_b: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = entries(x, self)
        a, b = _turned(first, self.trans_a), _turned(second, self.trans_b)
        if a.shape[-1] != b.shape[-2]:
            raise ValueError(f"{self.label()}: got {a.shape} times {b.shape}, expected the inner sizes to be equal")

        def pull(grad: Array) -> list[Array]:
            grad_a = kernels.matmul(grad, np.swapaxes(b, -1, -2))
            grad_b = kernels.matmul(np.swapaxes(a, -1, -2), grad)
            grads = _turned(grad_a, self.trans_a), _turned(grad_b, self.trans_b)
            return [unbroadcast(grads[0], first.shape), unbroadcast(grads[1], second.shape)]

        return kernels.matmul(a, b), pull


@dataclass(eq=False)
class Gemm(Module):
    """alpha A B + beta C; trans_a and trans_b transpose A and B first.

    x: [(M, K), (K, N), what broadcasts to (M, N)] -> (M, N).
    Source: BigDL's Gemm; ONNX.
    """

    alpha: float = 1.0
    beta: float = 1.0
    trans_a: bool = False
    trans_b: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        if len(entries(x, self)) != 3:
            raise ValueError(f"{self.label()}: got a table of {len(x)} entries, expected [A, B, C]")
        a, b, c = x
        product, pullback = MM(self.trans_a, self.trans_b).apply([a, b])

        def pull(grad: Array) -> list[Array]:
            return [*pullback(grad * self.alpha), unbroadcast(grad * self.beta, c.shape)]

        return product * self.alpha + c * self.beta, pull


@dataclass(eq=False)
class MV(Module):
    """A matrix times a vector; `trans` transposes the matrix first.

    x: [(..., M, N), (..., N)], whose leading sizes broadcast -> (..., M).
    Source: BigDL's MV.
    """

    trans: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, vector = entries(x, self)
        matrix = _turned(first, self.trans)

        def pull(grad: Array) -> list[Array]:
            grad_matrix = grad[..., :, None] * vector[..., None, :]
            grad_vector = np.einsum("...mn,...m->...n", matrix, grad)
            return [unbroadcast(_turned(grad_matrix, self.trans), first.shape), unbroadcast(grad_vector, vector.shape)]

        return np.einsum("...mn,...n->...m", matrix, vector), pull


@dataclass(eq=False)
class DotProduct(Module):
    """The inner product of the rows of two entries. x: [(N, D), (N, D)] -> (N,). Source: BigDL's DotProduct."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = entries(x, self)
        return (first * second).sum(axis=-1), lambda grad: [grad[..., None] * second, grad[..., None] * first]


@dataclass(eq=False)
class CosineDistance(Module):
    """The cosine of the angle between the rows of two entries.

    x: [(N, D), (N, D)] -> (N,).
    Source: BigDL's CosineDistance.
    """

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        sizes = [np.sqrt(np.square(entry).sum(axis=-1, keepdims=True) + _TINY) for entry in entries(x, self)]
        first, second = (entry / size for entry, size in zip(x, sizes, strict=True))
        y = (first * second).sum(axis=-1)

        def pull(grad: Array) -> list[Array]:
            wide, cosine = grad[..., None], y[..., None]
            return [wide * (second - cosine * first) / sizes[0], wide * (first - cosine * second) / sizes[1]]

        return y, pull


@dataclass(eq=False)
class PairwiseDistance(Module):
    """The Lp distance between the rows of two entries.

    x: [(N, D), (N, D)] -> (N,).
    Source: BigDL's PairwiseDistance.
    """

    norm: int = 2

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = entries(x, self)
        gap = first - second
        y = (np.abs(gap) ** self.norm).sum(axis=-1) ** float(1 / self.norm)

        def pull(grad: Array) -> list[Array]:
            share = np.sign(gap) * (np.abs(gap) / np.maximum(y[..., None], _TINY)) ** (self.norm - 1)
            return [grad[..., None] * share, -grad[..., None] * share]

        return y, pull


@dataclass(eq=False)
class CrossProduct(Module):
    """The inner products of all pairs of entries, in the order (1, 2), (1, 3) to (K - 1, K).

    x: K times (N, D) -> (N, K (K - 1) / 2).
    numTensor and embeddingSize, when positive, are checked.
    Source: BigDL's CrossProduct.
    """

    numTensor: int = 0
    embeddingSize: int = 0

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        if self.numTensor not in (0, len(entries(x, self))) or self.embeddingSize not in (0, x[0].shape[-1]):
            raise ValueError(
                f"{self.label()}: got {len(x)} entries of width {x[0].shape[-1]}, expected {self.numTensor} of "
                f"{self.embeddingSize}"
            )
        pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]

        def pull(grad: Array) -> list[Array]:
            back = [np.zeros(entry.shape, grad.dtype) for entry in x]
            for column, (i, j) in enumerate(pairs):
                back[i] += grad[:, column, None] * x[j]
                back[j] += grad[:, column, None] * x[i]
            return back

        return np.stack([(x[i] * x[j]).sum(axis=-1) for i, j in pairs], axis=-1), pull


@dataclass(eq=False)
class Bilinear(Module):
    """y_k = x1^T W_k x2 + b_k.

    x: [(N, input_size1), (N, input_size2)] -> (N, output_size); weight (output_size, input_size1, input_size2).
    Source: BigDL's Bilinear.
    """

    input_size1: int
    input_size2: int
    output_size: int
    bias_res: bool = True
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.weight, self.bias = create_weights(
            self,
            (self.output_size, self.input_size1, self.input_size2),
            (self.output_size,) if self.bias_res else None,
            (self.input_size1, self.output_size),
            (self.wRegularizer, self.bRegularizer),
        )

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = entries(x, self)
        weight, bias = self.weight, self.bias
        y = np.einsum("ni,kij,nj->nk", first, weight.value, second, optimize=True)

        def pull(grad: Array) -> list[Array]:
            weight.accumulate(np.einsum("nk,ni,nj->kij", grad, first, second, optimize=True))
            if bias is not None:
                bias.accumulate(grad.sum(axis=0))
            return [
                np.einsum("nk,kij,nj->ni", grad, weight.value, second, optimize=True),
                np.einsum("nk,kij,ni->nj", grad, weight.value, first, optimize=True),
            ]

        return y if bias is None else y + bias.value, pull
