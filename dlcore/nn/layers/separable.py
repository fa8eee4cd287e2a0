"""Convolutions in which an output plane does not depend on every input plane."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.init import InitMethod, Shape
from dlcore.nn.layers.convolution import Window
from dlcore.nn.layout import Layout, channel_sum
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pullback import SelectivePullback
from dlcore.nn.shapes import blank
from dlcore.nn.weights import Regularizer, create_weights
from dlcore.rng import RNG

__all__ = ["SpatialConvolutionMap", "SpatialSeparableConvolution"]


@dataclass(eq=False)
class SpatialSeparableConvolution(Module):
    """`depth_multiplier` filters for each plane separately, then a 1 x 1 convolution of their results.

    x: (N, n_input_channel, H, W) -> (N, n_output_channel, H', W'), or (N, H, W, C) likewise for NHWC; pad -1 keeps
    ceil(size / stride).
    depth_weight (in depth_multiplier, 1, kernel_h, kernel_w), as BigDL has it (depth_multiplier, in, kernel_h,
    kernel_w); weight (out, in depth_multiplier, 1, 1); NHWC: (kernel_h, kernel_w, in, depth_multiplier), (1, 1, in
    depth_multiplier, out).
    Without bias BigDL still keeps one, of zeros, that does not count; here there is none.
    Source: BigDL's SpatialSeparableConvolution; Chollet 2017 (Xception).

    Raises:
        ValueError: another number of input planes, or an input below the kernel.
    """

    n_input_channel: int
    n_output_channel: int
    depth_multiplier: int
    kernel_w: int
    kernel_h: int
    stride_w: int = 1
    stride_h: int = 1
    pad_w: int = 0
    pad_h: int = 0
    with_bias: bool = True
    data_format: str = "NCHW"
    w_regularizer: Regularizer | None = None
    b_regularizer: Regularizer | None = None
    p_regularizer: Regularizer | None = None
    depth_weight: Parameter = field(init=False, repr=False)
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.window = Window(
            (self.kernel_h, self.kernel_w),
            (self.stride_h, self.stride_w),
            (self.pad_h, self.pad_w),
            (1, 1),
            self.n_input_channel,
        )
        self.window.check(self.label())
        middle, taps = self.n_input_channel * self.depth_multiplier, self.kernel_h * self.kernel_w
        self.depth_weight, _ = create_weights(
            self,
            (middle, 1, self.kernel_h, self.kernel_w),
            None,
            (taps, self.depth_multiplier * taps),
            (self.w_regularizer, None),
        )
        self.weight, self.bias = create_weights(
            self,
            (self.n_output_channel, middle, 1, 1),
            (self.n_output_channel,) if self.with_bias else None,
            (middle, self.n_output_channel),
            (self.p_regularizer, self.b_regularizer),
        )

    def _is_last(self) -> bool:
        return self.data_format.upper() == "NHWC"

    def exported(self, name: str, value: Array) -> Array:
        if name == "depth_weight":
            value = value.reshape(self.n_input_channel, self.depth_multiplier, *value.shape[2:]).swapaxes(0, 1)
        return value.transpose(2, 3, 1, 0) if self._is_last() and value.ndim == 4 else value

    def imported(self, name: str, value: Array) -> Array:
        if self._is_last() and value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        return value.swapaxes(0, 1).reshape(self.depth_weight.value.shape) if name == "depth_weight" else value

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, self.data_format, self.n_input_channel, self.label())
        entered, window = layout.enter(x), self.window
        geometry = (window.stride, window.padding(entered.shape[2:], self.label()), window.dilation, window.groups)
        point = ((1, 1), (0, 0, 0, 0), (1, 1), 1)
        depth, weight, bias = self.depth_weight, self.weight, self.bias
        middle = kernels.conv(entered, depth.value, None, *geometry)
        y = kernels.conv(middle, weight.value, None if bias is None else bias.value, *point)

        def pull(grad: Array, needs_x: bool) -> Array | None:
            entered_grad = layout.enter(grad)
            if bias is not None and not bias.frozen:
                bias.accumulate(channel_sum(entered_grad))
            needs_depth, needs_weight = not depth.frozen, not weight.frozen
            grad_middle, grad_weight, _ = kernels.conv_backward(
                middle, weight.value, entered_grad, *point, needs_x or needs_depth, needs_weight, False
            )
            if grad_weight is not None:
                weight.accumulate(grad_weight)
            if grad_middle is None:
                return None
            grad_x, grad_depth, _ = kernels.conv_backward(
                entered, depth.value, grad_middle, *geometry, needs_x, needs_depth, False
            )
            if grad_depth is not None:
                depth.accumulate(grad_depth)
            return None if grad_x is None else layout.leave(grad_x)

        return layout.leave(y), SelectivePullback(pull)

    def outline(self, x: Array) -> Array:
        layout = Layout.of(x, self.data_format, self.n_input_channel, self.label())
        entered = layout.enter(x)
        size = self.window.size(entered.shape[2:], self.label())
        return layout.leave(blank((len(entered), self.n_output_channel, *size)))


@dataclass(eq=False)
class SpatialConvolutionMap(Module):
    """2-D convolution of the pairs of planes that a table lists, each with a kernel of its own.

    x: (N, C, H, W) -> (N, n_output_plane, H', W'); conn_table (K, 2): a row is a 1-based input plane and output plane;
    C and n_output_plane are the largest of these; weight (K, kh, kw), bias (n_output_plane,).
    Weights are drawn within 1 / sqrt(kh kw fan), the fan being the pairs of the kernel's output plane.
    Source: BigDL's SpatialConvolutionMap; LeCun et al. 1998 (LeNet-5's second convolution).

    Raises:
        ValueError: a table of another form, another number of input planes, or an input below the kernel.
    """

    conn_table: Array
    kw: int
    kh: int
    dw: int = 1
    dh: int = 1
    pad_w: int = 0
    pad_h: int = 0
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.window = Window((self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), (1, 1))
        self.window.check(self.label())
        pairs = np.asarray(self.conn_table)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.min() < 1 or (pairs % 1).any():
            raise ValueError(
                f"{self.label()}: got conn_table of shape {pairs.shape}, expected (K, 2) numbers of planes, from 1"
            )
        self.sources, self.targets = (pairs.astype(np.intp) - 1).T
        self.n_input_plane, self.n_output_plane = (int(plane) for plane in pairs.max(axis=0))
        fans = np.bincount(self.targets, minlength=self.n_output_plane) * self.kh * self.kw
        bounds = tuple(1 / np.sqrt(np.maximum(fans, 1)))
        shape = (len(pairs), self.kh, self.kw)
        self.weight = Parameter.create(
            shape, _ByBound(tuple(bounds[target] for target in self.targets)), (1, 1), self.wRegularizer
        )
        self.bias = Parameter.create((self.n_output_plane,), _ByBound(bounds), (1, 1), self.bRegularizer)

    def _dense(self) -> Array:
        """The kernels (out, in, kh, kw), zero between planes that do not meet; of a pair listed twice the sum."""
        shape = (self.n_output_plane, self.n_input_plane, self.kh, self.kw)
        dense = np.zeros(shape, self.weight.value.dtype)
        np.add.at(dense, (self.targets, self.sources), self.weight.value)
        return dense

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, "NCHW", self.n_input_plane, self.label())
        entered, window, dense = layout.enter(x), self.window, self._dense()
        geometry = (window.stride, window.padding(entered.shape[2:], self.label()), window.dilation, 1)
        y = kernels.conv(entered, dense, self.bias.value, *geometry)

        def pull(grad: Array, needs_x: bool) -> Array | None:
            sent, needs_weight = layout.enter(grad), not self.weight.frozen
            grad_x, grad_dense, _ = kernels.conv_backward(entered, dense, sent, *geometry, needs_x, needs_weight, False)
            if grad_dense is not None:
                self.weight.accumulate(grad_dense[self.targets, self.sources])
            self.bias.accumulate(channel_sum(sent))
            return None if grad_x is None else layout.leave(grad_x)

        return layout.leave(y), SelectivePullback(pull)

    def outline(self, x: Array) -> Array:
        layout = Layout.of(x, "NCHW", self.n_input_plane, self.label())
        entered = layout.enter(x)
        size = self.window.size(entered.shape[2:], self.label())
        return layout.leave(blank((len(entered), self.n_output_plane, *size)))


@dataclass(frozen=True)
class _ByBound(InitMethod):
    """Uniform within a bound for each entry of the first dimension."""

    bounds: tuple[float, ...]

    def draw(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        drawn = RNG.uniform(-1.0, 1.0, shape)
        return drawn * np.array(self.bounds, drawn.dtype).reshape(-1, *[1] * (len(shape) - 1))
