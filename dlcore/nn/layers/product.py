"""Products and distances of the entries of a table."""

from dataclasses import dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.weights import Regularizer, create_weights

_TINY = np.float32(1e-12)


def _turned(x: Array, is_turned: bool) -> Array:
    return np.swapaxes(x, -1, -2) if is_turned else x


@dataclass(eq=False)
class MM(Module):
    """The matrix product of two entries, (M, K) and (K, N) or batches of them; trans_a and trans_b transpose them first."""

    trans_a: bool = False
    trans_b: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        a, b = _turned(x[0], self.trans_a), _turned(x[1], self.trans_b)
        if a.shape[-1] != b.shape[-2]:
            raise ValueError(f"{self.label()}: got {a.shape} times {b.shape}, expected the inner sizes to be equal")

        def pull(grad: Array) -> list[Array]:
            grad_a = kernels.matmul(grad, np.swapaxes(b, -1, -2))
            grad_b = kernels.matmul(np.swapaxes(a, -1, -2), grad)
            return [_turned(grad_a, self.trans_a), _turned(grad_b, self.trans_b)]

        return kernels.matmul(a, b), pull


@dataclass(eq=False)
class MV(Module):
    """A matrix (M, N), or a batch of them, times a vector (N,); `trans` transposes the matrix first."""

    trans: bool = False

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        matrix, vector = _turned(x[0], self.trans), x[1]

        def pull(grad: Array) -> list[Array]:
            grad_matrix = grad[..., :, None] * vector[..., None, :]
            grad_vector = np.einsum("...mn,...m->...n", matrix, grad)
            return [_turned(grad_matrix, self.trans), grad_vector]

        return np.einsum("...mn,...n->...m", matrix, vector), pull


@dataclass(eq=False)
class DotProduct(Module):
    """The inner product of the rows of two entries: (N, D), (N, D) -> (N,)."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = x
        return (first * second).sum(axis=-1), lambda grad: [grad[..., None] * second, grad[..., None] * first]


@dataclass(eq=False)
class CosineDistance(Module):
    """The cosine of the angle between the rows of two entries: (N, D), (N, D) -> (N,)."""

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        sizes = [np.sqrt(np.square(entry).sum(axis=-1, keepdims=True) + _TINY) for entry in x]
        first, second = (entry / size for entry, size in zip(x, sizes, strict=True))
        y = (first * second).sum(axis=-1)

        def pull(grad: Array) -> list[Array]:
            wide, cosine = grad[..., None], y[..., None]
            return [wide * (second - cosine * first) / sizes[0], wide * (first - cosine * second) / sizes[1]]

        return y, pull


@dataclass(eq=False)
class PairwiseDistance(Module):
    """The Lp distance between the rows of two entries: (N, D), (N, D) -> (N,)."""

    norm: int = 2

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        gap = x[0] - x[1]
        y = (np.abs(gap) ** self.norm).sum(axis=-1) ** np.float32(1 / self.norm)

        def pull(grad: Array) -> list[Array]:
            share = np.sign(gap) * (np.abs(gap) / np.maximum(y[..., None], _TINY)) ** (self.norm - 1)
            return [grad[..., None] * share, -grad[..., None] * share]

        return y, pull


@dataclass(eq=False)
class CrossProduct(Module):
    """The inner products of all pairs of entries, (1, 2), (1, 3) ... (2, 3) ...: K times (N, D) -> (N, K (K - 1) / 2).

    numTensor and embeddingSize, when positive, are checked.
    """

    numTensor: int = 0
    embeddingSize: int = 0

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        if self.numTensor not in (0, len(x)) or self.embeddingSize not in (0, x[0].shape[-1]):
            raise ValueError(
                f"{self.label()}: got {len(x)} entries of width {x[0].shape[-1]}, expected {self.numTensor} of "
                f"{self.embeddingSize}"
            )
        pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]

        def pull(grad: Array) -> list[Array]:
            back = [np.zeros_like(entry) for entry in x]
            for column, (i, j) in enumerate(pairs):
                back[i] += grad[:, column, None] * x[j]
                back[j] += grad[:, column, None] * x[i]
            return back

        return np.stack([(x[i] * x[j]).sum(axis=-1) for i, j in pairs], axis=-1), pull


@dataclass(eq=False)
class Bilinear(Module):
    """y_k = x1^T W_k x2 + b_k: (N, input_size1), (N, input_size2) -> (N, output_size)."""

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
            (None, None),
            (self.wRegularizer, self.bRegularizer),
        )

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        first, second = x
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
