"""Convolutions over images."""

from dataclasses import InitVar, dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback, zeros_like
from dlcore.nn.layout import SAME, Layout, channel_sum, same_padding
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.weights import Regularizer, create_weights, default_init, needed


@dataclass(frozen=True)
class Window:
    """A convolution's geometry; pairs are (height, width). Padding SAME keeps ceil(size / stride)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def check(self, label: str) -> None:
        """Raise ValueError unless kernel, stride and dilation are positive and the padding is >= 0 or SAME."""
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.pad) < SAME:
            raise ValueError(
                f"{label}: got {self}, expected kernel, stride and dilation >= 1 and padding >= 0 (or -1: same)"
            )

    def padding(self, image: tuple[int, ...], label: str) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) for an image (height, width).

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
        (top, bottom), (left, right) = pads
        return top, left, bottom, right


def convolve(module: "SpatialConvolution | SpatialDilatedConvolution", x: Array, relu: bool) -> tuple[Array, Pullback]:
    """The convolution of `module`, followed by a ReLU if so, and its pullback."""
    label = module.label()
    layout = Layout.of(x, module.data_format, module.n_input_plane, label)
    window, weight, bias = module.window, module.weight, module.bias
    entered = layout.enter(x)
    padding = window.padding(entered.shape[2:], label)
    geometry = (window.stride, padding, window.dilation, window.groups)
    y = kernels.conv2d(entered, weight.value, None if bias is None else bias.value, *geometry, relu)

    def pull(grad: Array) -> Array:
        need_w, has_bias = not weight.frozen, bias is not None and not bias.frozen
        if not module.propagate_back and not need_w and not has_bias:
            return zeros_like(x)  # type: ignore[return-value]
        entered_grad = kernels.relu_backward(layout.enter(grad), y) if relu else layout.enter(grad)
        grad_x, grad_w, grad_b = kernels.conv2d_backward(
            entered, weight.value, entered_grad, *geometry, module.propagate_back, need_w, has_bias
        )
        if grad_w is not None and need_w:
            weight.accumulate(grad_w)
        if bias is not None and has_bias:
            bias.accumulate(channel_sum(entered_grad) if grad_b is None else grad_b)
        return layout.leave(grad_x) if grad_x is not None else zeros_like(x)  # type: ignore[return-value]

    return layout.leave(y), pull


@dataclass(eq=False)
class SpatialConvolution(Module):
    """2-D convolution. Sizes (..)_w before (..)_h as in BigDL; pad -1 keeps ceil(size / stride).

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W'); weight (out, in / n_group, kernel_h, kernel_w).
    `propagate_back=False` gives zeros as the input's gradient and saves their computation: for a network's first layer.

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

    def __post_init__(
        self,
        init_weight: Array | None,
        init_bias: Array | None,
        init_grad_weight: Array | None,
        init_grad_bias: Array | None,
    ) -> None:
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
            (init_weight, init_bias),
            (self.wRegularizer, self.bRegularizer),
            default_init(self.n_input_plane * area),
            (init_grad_weight, init_grad_bias),
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
        return grouped.reshape(self.weight.value.shape)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=True)


@dataclass(eq=False)
class SpatialShareConvolution(SpatialConvolution):
    """SpatialConvolution; BigDL's variant shares its buffers, of which this engine has none."""


@dataclass(eq=False)
class SpatialDilatedConvolution(Module):
    """2-D convolution with holes: taps are dilation apart.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, H', W'); weight (out, in, kh, kw).
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
            (None, None),
            (self.wRegularizer, self.bRegularizer),
        )

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=True)


@dataclass(eq=False)
class SpatialFullConvolution(Module):
    """Transposed 2-D convolution: the gradient of a convolution used forwards.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, (H - 1) dh - 2 pad_h + kh + adj_h, ...);
    weight (in, out / n_group, kh, kw).
    """

    n_input_plane: int
    n_output_plane: int
    kw: int
    kh: int
    dw: int = 1
    dh: int = 1
    pad_w: int = 0
    pad_h: int = 0
    adj_w: int = 0
    adj_h: int = 0
    n_group: int = 1
    no_bias: bool = False
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.adj_w < self.dw and 0 <= self.adj_h < self.dh):
            raise ValueError(f"{self.label()}: got adj {self.adj_w}, {self.adj_h}, expected 0 <= adj < stride")
        area = self.kh * self.kw
        self.weight, self.bias = create_weights(
            self,
            (self.n_input_plane, self.n_output_plane // self.n_group, self.kh, self.kw),
            None if self.no_bias else (self.n_output_plane,),
            (self.n_input_plane // self.n_group * area, self.n_output_plane // self.n_group * area),
            (None, None),
            (self.wRegularizer, self.bRegularizer),
            default_init(self.n_input_plane * area),
        )

    def exported(self, name: str, value: Array) -> Array:
        return value.reshape(self.n_group, -1, *value.shape[1:]) if name == "weight" else value

    def imported(self, name: str, value: Array) -> Array:
        return value.reshape(self.weight.value.shape) if name == "weight" else value

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, "NCHW", self.n_input_plane, self.label())
        entered = layout.enter(x)
        n, _, height, width = entered.shape
        size = (
            (height - 1) * self.dh - 2 * self.pad_h + self.kh + self.adj_h,
            (width - 1) * self.dw - 2 * self.pad_w + self.kw + self.adj_w,
        )
        shape = np.broadcast_to(np.float32(0), (n, self.n_output_plane, *size))
        pads = (self.pad_h, self.pad_w, self.pad_h, self.pad_w)
        geometry = ((self.dh, self.dw), pads, (1, 1), self.n_group)
        weight, bias = self.weight, self.bias
        transposed, _, _ = kernels.conv2d_backward(shape, weight.value, entered, *geometry, True, False, False)
        y = needed(transposed)
        if bias is not None:
            y += bias.value[:, None, None]

        def pull(grad: Array) -> Array:
            entered_grad = layout.enter(grad)
            if not weight.frozen:
                _, grad_w, _ = kernels.conv2d_backward(
                    entered_grad, weight.value, entered, *geometry, False, True, False
                )
                weight.accumulate(needed(grad_w))
            if bias is not None and not bias.frozen:
                bias.accumulate(channel_sum(entered_grad))
            back: Array = layout.leave(kernels.conv2d(entered_grad, weight.value, None, *geometry))
            return back

        return layout.leave(y), pull
