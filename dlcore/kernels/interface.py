"""The operations of the engine: what each takes and gives. `reference` defines them all, other backends any subset.

Arrays are float32 unless said otherwise. Images have the logical shape (N, C, H, W); their memory is channels-last, so that
`x.transpose(0, 2, 3, 1)` is contiguous. A backend accepts any memory order and gives channels-last results. Results are new
arrays, never views of the arguments. `padding` is (top, left, bottom, right); kernels, strides and dilations are
(vertical, horizontal), a dilation of 1 being a dense kernel. `saved` is what the forward pass keeps for the backward pass of
the same backend; it holds no reference to other arrays than the arguments and results, which must not be changed in between.
"""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[int, int, int, int]
Saved: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]
Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]
"""Of the input, the weights, the bias; None where not asked for."""


class Kernels(Protocol):
    """One function per operation; a backend is a module that defines some of them with these signatures."""

    def conv2d(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        stride: Pair,
        padding: Padding,
        dilation: Pair,
        groups: int,
        relu: bool = False,
    ) -> Array:
        """Cross-correlation of `x` (N, C, H, W) with `w` (K, C / groups, kh, kw), plus `b` (K,) -> (N, K, H', W').

        H' = (H + top + bottom - dilation * (kh - 1) - 1) // stride + 1. With `relu`, negative results become 0.
        """

    def conv2d_grad_x(
        self, x_shape: Shape, w: Array, grad_y: Array, stride: Pair, padding: Padding, dilation: Pair, groups: int
    ) -> Array:
        """The gradient of the input of `conv2d` without relu, of `x_shape` (N, C, H, W)."""

    def conv2d_grad_w(
        self,
        x: Array,
        kernel: Pair,
        grad_y: Array,
        stride: Pair,
        padding: Padding,
        dilation: Pair,
        groups: int,
        has_bias: bool = True,
    ) -> tuple[Array, Array | None]:
        """The gradients of the weights (K, C / groups, kh, kw) and of the bias (K,), if there is one, of `conv2d` without relu."""

    def max_pool2d(self, x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, Saved]:
        """The maximum of each window of `x` (N, C, H, W) -> (N, C, H', W'), H' as in `conv2d`.

        Every window must touch the image; padding never wins. Of equal values the first one, row by row, is the maximum.
        """

    def max_pool2d_backward(self, grad_y: Array, saved: Saved) -> Array:
        """The gradient of the input of `max_pool2d`: each value of `grad_y` goes to the maximum of its window."""

    def avg_pool2d(
        self, x: Array, kernel: Pair, stride: Pair, padding: Padding, count_include_pad: bool = True
    ) -> tuple[Array, Saved]:
        """The mean of each window of `x` (N, C, H, W) -> (N, C, H', W').

        The divisor is kh * kw with `count_include_pad`, else the number of pixels of the window inside the image.
        """

    def avg_pool2d_backward(self, grad_y: Array, saved: Saved) -> Array:
        """The gradient of the input of `avg_pool2d`."""

    def linear(self, x: Array, w: Array, b: Array | None, relu: bool = False) -> Array:
        """`x` (N, I) times the transpose of `w` (O, I), plus `b` (O,) -> (N, O)."""

    def linear_backward(
        self, x: Array, w: Array, grad_y: Array, need_x: bool = True, need_w: bool = True, has_bias: bool = True
    ) -> Gradients:
        """The gradients of `linear` without relu: of x, w and b. Without `need_w` there is none of b either."""

    def matmul(self, a: Array, b: Array) -> Array:
        """The matrix product of `a` (..., M, K) and `b` (..., K, N), leading dimensions broadcast -> (..., M, N)."""

    def batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, relu: bool = False
    ) -> tuple[Array, Array, Array, Saved]:
        """Normalise `x` (N, C, ...) by the mean and variance of each plane over the batch (Ioffe and Szegedy 2015).

        y = (x - mean) / sqrt(var + eps) * gamma + beta, negative results becoming 0 with `relu`.
        Gives (y, mean (C,), var (C,), saved); var is the biased variance.
        """

    def batch_norm_backward(self, grad_y: Array, saved: Saved) -> tuple[Array, Array, Array]:
        """Gradients (grad_x, grad_gamma, grad_beta) of `batch_norm`, its relu included."""

    def softmax(self, x: Array, axis: int) -> Array:
        """exp(x) divided by its sum along `axis`, safe for large values."""

    def relu(self, x: Array) -> Array:
        """max(x, 0), any shape."""

    def relu_backward(self, grad_y: Array, y: Array) -> Array:
        """`grad_y` where `y`, the input or the output of `relu`, is above 0, else 0."""

    def nms(self, boxes: Array, scores: Array, iou_threshold: float, top_k: int) -> NDArray[np.int64]:
        """Greedy non-maximum suppression -> indices of the boxes kept, best first.

        boxes (N, 4) as x_min, y_min, x_max, y_max; scores (N,). Only the `top_k` best boxes (all unless positive) take part; of
        equal scores the lower index is the better. A box is dropped when its intersection over union with a kept box is
        above `iou_threshold`; boxes without area overlap nothing.
        """

    def hamming(self, queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Differing bits between all rows of `queries` (Q, B) and `codes` (N, B) -> (Q, N)."""


OPERATIONS: tuple[str, ...] = tuple(name for name in vars(Kernels) if not name.startswith("_"))
