"""The operations of the engine: what each takes and gives. `reference` defines them all, other backends any subset.

Arrays are float32 unless said otherwise, other numbers become float32; where one is float64, `reference` computes and
gives float64, and the backward pass does as its forward pass did. Images have the logical shape (N, C, ...) with any
number of spatial dimensions, their rank: (N, C, T), (N, C, H, W), (N, C, T, H, W). Their memory is channels-last: with
C moved to the end they are contiguous. A backend accepts any memory order and gives channels-last results; it may know
some ranks only (`SUITS`). Results are new arrays, never views of the arguments. Kernels, strides and dilations hold one
number for each spatial dimension, a dilation of 1 being a dense kernel; `padding` holds two: first what comes before,
by dimension, then what comes after: (top, left, bottom, right). `saved` is what the forward pass keeps for the backward
pass of the same backend; it holds no reference to other arrays than the arguments and results, which must not be
changed in between.

NaN and infinity need not stay what they are: oneDNN's ReLU turns NaN into 0. Look for such values in inputs.

`sgd`, `adam`, `rmsprop` and `add_rows` change arrays in place. Their arrays are of one type, float32 or float64, and
compute in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.rng import RandomGenerator

Sizes: TypeAlias = tuple[int, ...]
"""One number for each spatial dimension."""
Padding: TypeAlias = tuple[int, ...]
"""Before and after: (top, left, bottom, right) of an image, (before, after) of a sequence."""
Saved: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]
Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]
"""Gradients of the input, the weights and the bias; None where not asked for."""
Codes: TypeAlias = NDArray[np.uint8]
Distances: TypeAlias = NDArray[np.unsignedinteger]
Masks: TypeAlias = tuple[Codes, NDArray[np.int64]]
"""Masks (..., B) of bits of a code, and limits (...): a pair of codes keeps them if it differs in at most so many of
these bits."""
Buckets: TypeAlias = tuple[Codes, NDArray[np.int64]]
"""Codes (N, B) in order of the numbers of their buckets, and (K + 1,) int64: where bucket k of 0 .. K - 1 starts, then
N."""
Mask: TypeAlias = NDArray[np.bool_]
WIDEST = 8191
"""Most bytes of a code whose bits a uint16 can count."""
WINDOW_BYTES = 8
"""Most bytes of a code that a window may have, for `native`."""


class AdamMeans(NamedTuple):
    """The constants of `Kernels.adam`; without bias1 and bias2 the means are taken as they are."""

    beta1: float
    beta2: float
    epsilon: float
    bias1: float = 1.0
    bias2: float = 1.0


def distance_type(size_bytes: int) -> type[np.unsignedinteger]:
    """The type of Hamming distances of codes of so many bytes."""
    return np.uint16 if size_bytes <= WIDEST else np.uint32


class Kernels(Protocol):
    """One function per operation; a backend is a module that defines some of them with these signatures."""

    def conv(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        stride: Sizes,
        padding: Padding,
        dilation: Sizes,
        groups: int,
        relu: bool = False,
    ) -> Array:
        """Cross-correlation of `x` (N, C, ...) with `w` (K, C / groups, *kernel), plus `b` (K,) -> (N, K, ...).

        Each size becomes (size + before + after - dilation * (kernel - 1) - 1) // stride + 1. With `relu`, negative
        results become 0.
        """

    def conv_grad_x(
        self, x_shape: Shape, w: Array, grad_y: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
    ) -> Array:
        """The gradient of the input of `conv` without relu, of `x_shape` (N, C, ...): a transposed convolution of
        `grad_y`."""

    def conv_grad_w(
        self,
        x: Array,
        kernel: Sizes,
        grad_y: Array,
        stride: Sizes,
        padding: Padding,
        dilation: Sizes,
        groups: int,
        has_bias: bool = True,
    ) -> tuple[Array, Array | None]:
        """The gradients of the weights (K, C / groups, *kernel) and of the bias (K,), if there is one, of `conv`
        without relu."""

    def max_pool(self, x: Array, kernel: Sizes, stride: Sizes, padding: Padding) -> tuple[Array, Saved]:
        """The maximum of each window of `x` (N, C, ...) -> (N, C, ...), sizes as in `conv`.

        Every window must touch the image; padding never wins. Of equal values the first one, row by row, is the
        maximum.
        """

    def max_pool_backward(self, grad_y: Array, saved: Saved) -> Array:
        """The gradient of the input of `max_pool`: each value of `grad_y` goes to the maximum of its window."""

    def avg_pool(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Padding, count_include_pad: bool = True
    ) -> tuple[Array, Saved]:
        """The mean of each window of `x` (N, C, ...) -> (N, C, ...).

        The divisor is the size of the kernel with `count_include_pad`, else the number of pixels of the window inside
        the image.
        """

    def avg_pool_backward(self, grad_y: Array, saved: Saved) -> Array:
        """The gradient of the input of `avg_pool`."""

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

    def lstm(self, x: Array, w: Array, u: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array, Array, Saved]:
        """Long short-term memory over sequences `x` (T, N, I), from the states h and c (N, H) on (Hochreiter and
        Schmidhuber 1997).

        w (4 H, I), u (4 H, H), b (4 H,), the gates in the order i, g, f, o: v = w x + b + u h, i, f, o = sigmoid(v), g
        = tanh(v); c' = f c + i g, h' = o tanh(c'). Gives (y (T, N, H), the last h, the last c, saved).
        """

    def lstm_backward(self, grad_y: Array, grad_h: Array, grad_c: Array, saved: Saved) -> tuple[Array, ...]:
        """Gradients (grad_x, grad_w, grad_u, grad_b, grad_h, grad_c) of `lstm`, from those of its three results."""

    def gru(self, x: Array, w: Array, u: Array, v: Array, b: Array, h: Array) -> tuple[Array, Array, Saved]:
        """Gated recurrent units over sequences `x` (T, N, I), from the state h (N, H) on (Cho et al. 2014).

        w (3 H, I), b (3 H,), the gates in the order r, z, n; u (2 H, H), v (H, H): r, z = sigmoid(w x + b + u h),
        n = tanh(w x + b + v (r h)), h' = (1 - z) n + z h. Gives (y (T, N, H), the last h, saved).
        """

    def gru_backward(self, grad_y: Array, grad_h: Array, saved: Saved) -> tuple[Array, ...]:
        """Gradients (grad_x, grad_w, grad_u, grad_v, grad_b, grad_h) of `gru`, from those of its two results."""

    def softmax(self, x: Array, axis: int) -> Array:
        """exp(x) divided by its sum along `axis`, safe for large values."""

    def softmax_backward(self, grad_y: Array, y: Array, axis: int) -> Array:
        """The gradient of the input of `softmax`, whose result is `y`: y (grad_y - the sum of grad_y y along
        `axis`)."""

    def log_softmax(self, x: Array, axis: int) -> Array:
        """The logarithm of `softmax`, without overflow."""

    def log_softmax_backward(self, grad_y: Array, y: Array, axis: int) -> Array:
        """The gradient of the input of `log_softmax`, whose result is `y`: grad_y - exp(y) times the sum of grad_y
        along `axis`."""

    def layer_norm(self, x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Saved]:
        """(x - mean) / sqrt(var + eps) * gamma + beta over the last dimension of `x` (..., D); gamma and beta (D,) (Ba
        et al. 2016)."""

    def layer_norm_backward(self, grad_y: Array, saved: Saved) -> tuple[Array, Array, Array]:
        """Gradients (grad_x, grad_gamma, grad_beta) of `layer_norm`."""

    def lrn(self, x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Saved]:
        """x (k + alpha / size * sum of x^2 over `size` neighbouring planes)^-beta.

        `x` (N, C, ...), an odd `size` (Krizhevsky et al. 2012).
        """

    def lrn_backward(self, grad_y: Array, saved: Saved) -> Array:
        """The gradient of the input of `lrn`."""

    def relu(self, x: Array) -> Array:
        """max(x, 0), any shape."""

    def relu_backward(self, grad_y: Array, y: Array) -> Array:
        """`grad_y` where `y`, the input or the output of `relu`, is above 0, else 0."""

    def bernoulli(self, generator: RandomGenerator, probability: float, size: Sizes) -> Mask:
        """What `generator.bernoulli` gives, draw for draw: True with `probability`."""

    def masked(self, x: Array, mask: Mask, factor: float) -> Array:
        """x times `factor` where `mask`, to whose shape it need not be broadcast, is set, else times 0; in the type of
        `x`."""

    def add_rows(self, total: Array, rows: NDArray[np.int64], values: Array) -> None:
        """Add each of `values` (K, D) to the row of `total` (R, D) that `rows` (K,), from 0 on, says: in order where
        rows are repeated.

        Raises:
            ValueError: a row outside of `total`.
        """

    def sgd(
        self,
        weights: Array,
        grads: Array,
        velocity: Array | None,
        rate: float | Array,
        decay: float,
        momentum: float,
        share: float,
        nesterov: bool,
    ) -> None:
        """A step of gradient descent on flat `weights` (P,): g = grads + decay w; v = momentum v + share g; w -= rate
        v.

        With nesterov w -= rate (g + momentum v); without velocity w -= rate g. The rate is a number or one for each
        weight (P,).
        `grads` may be overwritten.
        """

    def adam(
        self, weights: Array, grads: Array, first: Array, second: Array, rate: float, kept: float, means: AdamMeans
    ) -> None:
        """A step of Adam on flat `weights` (P,), the running means of g and g^2 being `first` and `second` (Kingma and
        Ba 2015).

        m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w = kept w - rate (m / bias1) / (sqrt(v / bias2) +
        epsilon).
        """

    def rmsprop(
        self,
        weights: Array,
        grads: Array,
        squares: Array,
        rate: float,
        decay: float,
        kept: float,
        share: float,
        epsilon: float,
    ) -> None:
        """A step on flat `weights` (P,): g = grads + decay w; s = kept s + share g^2; w -= rate g / (sqrt(s) +
        epsilon).

        `grads` may be overwritten. Adagrad is kept = share = 1.
        """

    def nms(self, boxes: Array, scores: Array, iou_threshold: float, top_k: int) -> NDArray[np.int64]:
        """Greedy non-maximum suppression -> indices of the boxes kept, best first.

        boxes (N, 4) as x_min, y_min, x_max, y_max; scores (N,). Only the `top_k` best boxes (all unless positive) take
        part; of equal scores the lower index is the better. A box is dropped when its intersection over union with a
        kept box is above `iou_threshold`; boxes without area overlap nothing.
        """

    def hamming(self, queries: Codes, codes: Codes) -> Distances:
        """Differing bits between all rows of `queries` (Q, B) and `codes` (N, B) -> (Q, N) uint16; uint32 when B is
        above 8191."""

    def hamming_top_k(self, queries: Codes, parts: Sequence[Codes], k: int) -> tuple[NDArray[np.int64], Distances]:
        """The `k` rows of all `parts` (N, B), counted through them, that differ least from each of `queries` (Q, B).

        Equals come in order of the rows. Gives indices and distances, both (Q, min(k, N)), nearest first.
        """

    def hamming_within(
        self, queries: Codes, codes: Codes, radius: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Distances]:
        """Pairs of a row i of `queries` (Q, B) and a row j of `codes` (N, B) that differ in at most `radius` bits.

        Gives i, j and the distances, all (P,), in order of i, then of j.
        """

    def hamming_in_buckets(
        self,
        first: Buckets,
        second: Buckets | None,
        flips: NDArray[np.int64],
        radius: int,
        window: Masks,
        earlier: Masks,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Distances]]:
        """Pairs of a row i of `first` and a row j of `second` within `radius` bits whose buckets' numbers differ by one
        of `flips` (F,).

        second: None for pairs i < j within `first`.
        flips: different numbers; what differs by one of them is xor-ed with it.
        window: a mask (B,) and its limit; a pair that does not keep it is left out. It is looked at first, so a narrow
        one that few pairs keep saves time.
        earlier: masks (E, K, B) and limits (E, K); a pair that keeps all K of any of these is left out.
        Gives i, j and the distances, a bounded number at once, in no order.
        """


OPERATIONS: tuple[str, ...] = tuple(name for name in vars(Kernels) if not name.startswith("_"))
