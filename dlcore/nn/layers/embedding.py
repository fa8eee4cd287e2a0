"""Embeddings: vectors by number."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dlcore.activity import Array, Places, Pullback, float_type
from dlcore.nn.init import RandomNormal
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.nn.shapes import blank
from dlcore.nn.weights import require_sizes

__all__ = ["LookupTable"]

DOUBLEMAX = 1.7976931348623157e308


@dataclass(eq=False)
class LookupTable(Module):
    """The rows of `weight` that 1-based numbers name.

    x: any shape (...) of numbers -> (..., n_output); its gradient is zero; weight (n_index, n_output).
    Rows longer than max_norm (in the norm_type norm) are shortened in place before use. With should_scale_grad_by_freq
    each row's gradient is divided by the number of times the row occurs; the row `padding_value` gets none.
    Source: BigDL's LookupTable.

    Raises:
        ValueError: a number outside 1..n_index.
    """

    n_index: int
    n_output: int
    padding_value: float = 0.0
    max_norm: float = DOUBLEMAX
    norm_type: float = 2.0
    should_scale_grad_by_freq: bool = False
    wRegularizer: L1L2Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = (self.n_index, self.n_output)
        require_sizes(self, shape)
        self.weight = Parameter.create(shape, RandomNormal(0.0, 1.0), shape, self.wRegularizer)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        rows = x.astype(np.intp).reshape(-1) - 1
        if rows.size and not 0 <= rows.min() <= rows.max() < self.n_index:
            raise ValueError(
                f"{self.label()}: got numbers {rows.min() + 1} to {rows.max() + 1}, expected 1 to {self.n_index}"
            )
        if self.max_norm < DOUBLEMAX:
            self._shorten(np.unique(rows))

        def pull(grad: Array) -> Array:
            self._accumulate(rows, grad.reshape(-1, self.n_output))
            return np.zeros(x.shape, grad.dtype)

        return self.weight.value[rows].reshape(*x.shape, self.n_output), pull

    def outline(self, x: Array) -> Array:
        shape: Array = blank((*x.shape, self.n_output))
        return shape

    def _shorten(self, rows: Places) -> None:
        norms = np.linalg.norm(self.weight.value[rows], self.norm_type, axis=1)
        long = norms > self.max_norm
        self.weight.value[rows[long]] *= (self.max_norm / norms[long])[:, None].astype(np.float32)

    def _accumulate(self, rows: Places, grad: Array) -> None:
        kept = rows != int(self.padding_value) - 1
        if not kept.all():
            rows, grad = rows[kept], grad[kept]
        if self.should_scale_grad_by_freq:
            grad = grad / np.bincount(rows)[rows, None].astype(float_type(grad))
        self.weight.accumulate_rows(rows, grad)
