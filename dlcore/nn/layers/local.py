"""Convolutions with weights of their own at each position."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.layout import Layout, places
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.weights import Regularizer, create_weights

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]

Pair = tuple[int, int]


def _patches(x: Array, kernel: Pair, stride: Pair) -> Array:
    """(N, C, H, W) -> (H' W', N, C kh kw), the window at each place."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    n, channels, rows, columns = windows.shape[:4]
    return windows.transpose(2, 3, 0, 1, 4, 5).reshape(rows * columns, n, channels * kernel[0] * kernel[1])


def _folded(patches: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair) -> Array:
    """The transpose of `_patches`: each window added at its place of (N, C, H, W)."""
    n, channels = shape[:2]
    rows, columns = (places(*sizes) for sizes in zip(shape[2:], kernel, stride, strict=True))
    split = patches.reshape(rows, columns, n, channels, *kernel).transpose(2, 3, 0, 1, 4, 5)
    total = np.zeros(shape, patches.dtype)
    for i, j in np.ndindex(kernel):
        bottom, right = i + (rows - 1) * stride[0] + 1, j + (columns - 1) * stride[1] + 1
        total[:, :, i : bottom : stride[0], j : right : stride[1]] += split[..., i, j]
    return total


def _local(x: Array, weight: Parameter, bias: Parameter | None, kernel: Pair, stride: Pair) -> tuple[Array, Pullback]:
    """(N, C, H, W) -> (places, N, out) with weight (places, out, C kh kw) and bias (places, out)."""
    patches = _patches(x, kernel, stride)
    y = kernels.matmul(patches, weight.value.transpose(0, 2, 1))

    def pull(grad: Array) -> Array:
        weight.accumulate(kernels.matmul(grad.transpose(0, 2, 1), patches))
        if bias is not None:
            bias.accumulate(grad.sum(axis=1))
        return _folded(kernels.matmul(grad, weight.value), x.shape, kernel, stride)

    return y if bias is None else y + bias.value[:, None], pull


@dataclass(eq=False)
class LocallyConnected2D(Module):
    """A 2-D convolution whose weights differ from position to position, on images of a fixed size.

    x: (N, n_input_plane, input_height, input_width) -> (N, n_output_plane, H', W'); weight (H' W', out, in kh kw).
    Source: BigDL's LocallyConnected2D.
    """

    n_input_plane: int
    input_width: int
    input_height: int
    n_output_plane: int
    kernel_w: int
    kernel_h: int
    stride_w: int = 1
    stride_h: int = 1
    pad_w: int = 0
    pad_h: int = 0
    propagate_back: bool = True
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    init_weight: InitVar[Array | None] = None
    init_bias: InitVar[Array | None] = None
    init_grad_weight: InitVar[Array | None] = None
    init_grad_bias: InitVar[Array | None] = None
    with_bias: bool = True
    data_format: str = "NCHW"
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self, *initial: Array | None) -> None:
        rows = places(self.input_height + 2 * self.pad_h, self.kernel_h, self.stride_h)
        columns = places(self.input_width + 2 * self.pad_w, self.kernel_w, self.stride_w)
        if rows < 1 or columns < 1 or self.pad_w < 0 or self.pad_h < 0:
            raise ValueError(
                f"{self.label()}: got {self}, expected an image at least as large as the kernel, no padding < 0"
            )
        self.grid = rows, columns
        window = self.n_input_plane * self.kernel_h * self.kernel_w
        self.weight, self.bias = create_weights(
            self,
            (rows * columns, self.n_output_plane, window),
            (rows * columns, self.n_output_plane) if self.with_bias else None,
            (window, self.n_output_plane * self.kernel_h * self.kernel_w),
            (self.wRegularizer, self.bRegularizer),
            initial=initial,
        )

    def exported(self, name: str, value: Array) -> Array:
        """BigDL gives the bias the shape (places, out) over memory in the order (out, places)."""
        return np.ascontiguousarray(value.T).reshape(value.shape) if name == "bias" else value

    def imported(self, name: str, value: Array) -> Array:
        return value.reshape(value.shape[::-1]).T if name == "bias" else value

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.data_format, self.n_input_plane, self.label())
        entered = layout.enter(x)
        if entered.shape[2:] != (self.input_height, self.input_width):
            raise ValueError(
                f"{self.label()}: got images of {entered.shape[2:]}, expected {(self.input_height, self.input_width)}"
            )
        n, (rows, columns) = len(entered), self.grid
        high, wide = self.pad_h, self.pad_w
        padded = np.pad(entered, [(0, 0), (0, 0), (high, high), (wide, wide)])
        geometry = (self.kernel_h, self.kernel_w), (self.stride_h, self.stride_w)
        y, pullback = _local(padded, self.weight, self.bias, *geometry)

        def pull(grad: Array) -> Array:
            sent = layout.enter(grad).transpose(2, 3, 0, 1).reshape(rows * columns, n, self.n_output_plane)
            back = pullback(sent)
            return layout.leave(back[:, :, high : high + self.input_height, wide : wide + self.input_width])

        return layout.leave(y.reshape(rows, columns, n, self.n_output_plane).transpose(2, 3, 0, 1)), pull


@dataclass(eq=False)
class LocallyConnected1D(Module):
    """A convolution along time whose weights differ from step to step, on sequences of a fixed length.

    x: (N, n_input_frame, input_frame_size) -> (N, T', output_frame_size); weight (T', out, kernel_w * in), a window's
    steps one after the other. Also without N.
    Source: BigDL's LocallyConnected1D.
    """

    n_input_frame: int
    input_frame_size: int
    output_frame_size: int
    kernel_w: int
    stride_w: int = 1
    propagate_back: bool = True
    weight_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    init_weight: InitVar[Array | None] = None
    init_bias: InitVar[Array | None] = None
    init_grad_weight: InitVar[Array | None] = None
    init_grad_bias: InitVar[Array | None] = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self, *initial: Array | None) -> None:
        steps = places(self.n_input_frame, self.kernel_w, self.stride_w)
        if steps < 1:
            raise ValueError(f"{self.label()}: got {self.n_input_frame} steps, expected at least {self.kernel_w}")
        window = self.kernel_w * self.input_frame_size
        self.weight, self.bias = create_weights(
            self,
            (steps, self.output_frame_size, window),
            (steps, self.output_frame_size),
            (window, self.kernel_w * self.output_frame_size),
            (self.weight_regularizer, self.bias_regularizer),
            initial=initial,
        )

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if x.shape == (self.n_input_frame, self.input_frame_size):
            y, pullback = self.apply(x[None])
            return y[0], lambda grad: pullback(grad[None])[0]
        if x.shape[1:] != (self.n_input_frame, self.input_frame_size):
            raise ValueError(
                f"{self.label()}: got input {x.shape}, expected (N, {self.n_input_frame}, {self.input_frame_size})"
            )
        kernel, stride = (self.kernel_w, self.input_frame_size), (self.stride_w, 1)
        y, pullback = _local(x[:, None], self.weight, self.bias, kernel, stride)
        return y.transpose(1, 0, 2), lambda grad: pullback(grad.transpose(1, 0, 2))[:, 0]
