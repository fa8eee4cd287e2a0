"""Convolutions over images and sequences, and what convolutions of any rank share."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Protocol

from dlcore import kernels
from dlcore.activity import Array, Pullback, zeros_like
from dlcore.kernels import Padding, Sizes
from dlcore.nn.layout import SAME, Layout, channel_sum, places, same_padding
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pullback import SelectivePullback
from dlcore.nn.shapes import blank
from dlcore.nn.weights import Regularizer, create_weights, default_init

__all__ = ["SpatialConvolution", "SpatialDilatedConvolution", "SpatialShareConvolution", "TemporalConvolution"]


@dataclass(frozen=True)
class Window:
    """A convolution's geometry, one number for each spatial dimension, (height, width) for images.

    Padding SAME keeps ceil(size / stride).
    """

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes
    groups: int = 1

    def check(self, label: str) -> None:
        """Raise ValueError unless kernel, stride and dilation are positive and the padding is >= 0 or SAME."""
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.pad) < SAME:
            raise ValueError(
                f"{label}: got {self}, expected kernel, stride and dilation >= 1 and padding >= 0 (or -1: same)"
            )

    def padding(self, image: Sizes, label: str) -> Padding:
        """What comes before each dimension of an image of these sizes, then what comes after: (top, left, bottom,
        right).

        Raises:
            ValueError: the kernel does not fit.
        """
        pads = []
        for size, k, s, p, d in zip(image, self.kernel, self.stride, self.pad, self.dilation, strict=True):
            extent = (k - 1) * d + 1
            before, after = same_padding(size, extent, s) if p == SAME else (p, p)
            if size + before + after < extent:
                raise ValueError(f"{label}: got input size {image}, expected at least the kernel, {extent}")
            pads.append((before, after))
        return (*(before for before, _ in pads), *(after for _, after in pads))

    def size(self, image: Sizes, label: str) -> Sizes:
        """The sizes of the output for an image of these sizes.

        Raises:
            ValueError: the kernel does not fit.
        """
        rank, padding = len(image), self.padding(image, label)
        padded = (sum(sides) for sides in zip(image, padding[:rank], padding[rank:], strict=True))
        extents = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return tuple(places(*each) for each in zip(padded, extents, self.stride, strict=True))


class Convolving(Protocol):
    """What `convolve` needs of a layer; weight (out, in / groups, *kernel)."""

    n_input_plane: int
    n_output_plane: int
    propagate_back: bool
    data_format: str
    weight: Parameter
    bias: Parameter | None

    @property
    def window(self) -> Window:
        """The geometry."""

    def label(self) -> str:
        """The layer's name in messages."""


def convolve(module: Convolving, x: Array, relu: bool) -> tuple[Array, Pullback]:
    """The convolution of `module`, followed by a ReLU if so, and its pullback; of any rank."""
    label = module.label()
    window, weight, bias = module.window, module.weight, module.bias
    layout = Layout.of(x, module.data_format, module.n_input_plane, label, len(window.kernel))
    entered = layout.enter(x)
    padding = window.padding(entered.shape[2:], label)
    geometry = (window.stride, padding, window.dilation, window.groups)
    y = kernels.conv(entered, weight.value, None if bias is None else bias.value, *geometry, relu)

    def pull(grad: Array, needs_x: bool) -> Array:
        need_x = needs_x and module.propagate_back
        need_w, has_bias = not weight.frozen, bias is not None and not bias.frozen
        if not need_x and not need_w and not has_bias:
            return zeros_like(x)  # type: ignore[return-value]
        entered_grad = kernels.relu_backward(layout.enter(grad), y) if relu else layout.enter(grad)
        grad_x, grad_w, grad_b = kernels.conv_backward(
            entered, weight.value, entered_grad, *geometry, need_x, need_w, has_bias
        )
        if grad_w is not None and need_w:
            weight.accumulate(grad_w)
        if bias is not None and has_bias:
            bias.accumulate(channel_sum(entered_grad) if grad_b is None else grad_b)
        return layout.leave(grad_x) if grad_x is not None else zeros_like(x)  # type: ignore[return-value]

    return layout.leave(y), SelectivePullback(pull)


def outlined(module: Convolving, x: Array) -> Array:
    """A blank array of the shape of the convolution of `x`."""
    rank = len(module.window.kernel)
    layout = Layout.of(x, module.data_format, module.n_input_plane, module.label(), rank)
    entered = layout.enter(x)
    size = module.window.size(entered.shape[2:], module.label())
    return layout.leave(blank((len(entered), module.n_output_plane, *size)))


@dataclass(eq=False)
class SpatialConvolution(Module):
    """2-D convolution. Sizes (..)_w before (..)_h as in BigDL; pad -1 keeps ceil(size / stride).

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W'); weight (out, in / n_group, kernel_h, kernel_w).
    `propagate_back=False` gives zeros as the input's gradient and saves their computation: for a network's first layer.
    Source: BigDL's SpatialConvolution.

    Raises:
        ValueError: planes not divisible by n_group, another number of input planes, or an input below the kernel.
    """

    n_input_plane: int
    n_output_plane: int
    kernel_w: int
    kernel_h: int
    stride_w: int = 1
    stride_h: int = 1
    pad_w: int = 0
    pad_h: int = 0
    n_group: int = 1
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
        self.window = Window(
            (self.kernel_h, self.kernel_w),
            (self.stride_h, self.stride_w),
            (self.pad_h, self.pad_w),
            (1, 1),
            self.n_group,
        )
        self.window.check(self.label())
        if self.n_input_plane % self.n_group or self.n_output_plane % self.n_group:
            raise ValueError(
                f"{self.label()}: got {self.n_input_plane} -> {self.n_output_plane} planes, "
                f"expected multiples of n_group={self.n_group}"
            )
        area = self.kernel_h * self.kernel_w
        shape = (self.n_output_plane, self.n_input_plane // self.n_group, self.kernel_h, self.kernel_w)
        self.weight, self.bias = create_weights(
            self,
            shape,
            (self.n_output_plane,) if self.with_bias else None,
            (shape[1] * area, self.n_output_plane // self.n_group * area),
            (self.wRegularizer, self.bRegularizer),
            default_init(self.n_input_plane * area),
            initial,
        )

    def exported(self, name: str, value: Array) -> Array:
        if name != "weight":
            return value
        grouped = value.reshape(self.n_group, -1, *value.shape[1:])
        return grouped.transpose(0, 3, 4, 2, 1) if self.data_format == "NHWC" else grouped

    def imported(self, name: str, value: Array) -> Array:
        if name != "weight":
            return value
        grouped = value.transpose(0, 4, 3, 1, 2) if self.data_format == "NHWC" else value
        return grouped.reshape(-1, *grouped.shape[2:])

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=True)

    def outline(self, x: Array) -> Array:
        return outlined(self, x)


@dataclass(eq=False)
class SpatialShareConvolution(SpatialConvolution):
    """The same as SpatialConvolution; BigDL's variant shares buffers, which this engine does not need.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W').
    Source: BigDL's SpatialShareConvolution.
    """


@dataclass(eq=False)
class SpatialDilatedConvolution(Module):
    """2-D convolution whose taps lie dilation_h and dilation_w pixels apart.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W'); weight (out, in, kh, kw).
    Source: BigDL's SpatialDilatedConvolution; Yu and Koltun 2016.
    """

    n_input_plane: int
    n_output_plane: int
    kw: int
    kh: int
    dw: int = 1
    dh: int = 1
    pad_w: int = 0
    pad_h: int = 0
    dilation_w: int = 1
    dilation_h: int = 1
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    data_format = "NCHW"
    propagate_back = True

    def __post_init__(self) -> None:
        self.window = Window(
            (self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), (self.dilation_h, self.dilation_w)
        )
        self.window.check(self.label())
        area = self.kh * self.kw
        self.weight, self.bias = create_weights(
            self,
            (self.n_output_plane, self.n_input_plane, self.kh, self.kw),
            (self.n_output_plane,),
            (self.n_input_plane * area, self.n_output_plane * area),
            (self.wRegularizer, self.bRegularizer),
        )

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=True)

    def outline(self, x: Array) -> Array:
        return outlined(self, x)


@dataclass(eq=False)
class TemporalConvolution(Module):
    """1-D convolution over the steps of a sequence.

    x: (N, T, input_frame_size) -> (N, (T - kernel_w) // stride_w + 1, output_frame_size), also without N;
    weight (out, in, kernel_w), as BigDL has it (out, kernel_w in).
    Source: BigDL's TemporalConvolution.

    Raises:
        ValueError: frames of another size, or fewer steps than the kernel has.
    """

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

    data_format = "NHWC"

    def __post_init__(self, *initial: Array | None) -> None:
        self.n_input_plane, self.n_output_plane = self.input_frame_size, self.output_frame_size
        self.window = Window((self.kernel_w,), (self.stride_w,), (0,), (1,))
        self.window.check(self.label())
        self.weight, self.bias = create_weights(
            self,
            (self.output_frame_size, self.input_frame_size, self.kernel_w),
            (self.output_frame_size,),
            (self.input_frame_size * self.kernel_w, self.output_frame_size * self.kernel_w),
            (self.weight_regularizer, self.bias_regularizer),
            None,
            initial,
        )

    def exported(self, name: str, value: Array) -> Array:
        return value.transpose(0, 2, 1).reshape(len(value), -1) if name == "weight" else value

    def imported(self, name: str, value: Array) -> Array:
        if name != "weight":
            return value
        return value.reshape(len(value), self.kernel_w, self.input_frame_size).transpose(0, 2, 1)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=True)

    def outline(self, x: Array) -> Array:
        return outlined(self, x)
