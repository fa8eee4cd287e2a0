"""Convolution by oneDNN, forward and backward.

Images stay channels-last; only weights, small beside the images, are brought into the order that a primitive prefers,
at each call, since training changes them. Measured on shapes of small networks: blocked images are no faster, plain
weights are 2-5 times slower in the backward passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from dlcore.activity import Array
from dlcore.kernels import onednn_api as api
from dlcore.kernels import reference
from dlcore.kernels.interface import Padding, Shape, Sizes
from dlcore.kernels.memory import channels_last, contiguous, empty, empty_channels_last
from dlcore.kernels.onednn_api import KEPT, Attributes, Description, Layout, Primitive, address
from dlcore.kernels.onednn_reorder import Reorder
from dlcore.kernels.reference import output_size

Geometry: TypeAlias = tuple[Sizes, Padding, Sizes, int]
"""Stride, padding, dilation, groups of a convolution."""


@dataclass(frozen=True)
class _Convolution:
    """One of the three primitives of a convolution, with the way into or out of its order of weights."""

    primitive: Primitive
    reorder: Reorder
    weights_floats: int = 0


def _blocked(w_shape: Shape, groups: int) -> Shape:
    """The shape that oneDNN wants of weights: groups come first, if there are any."""
    return w_shape if groups == 1 else (groups, w_shape[0] // groups, *w_shape[1:])


@dataclass(frozen=True)
class _ConvolutionShapes:
    """Everything that decides on a convolution's primitives, but the bias and the ReLU."""

    x: Shape
    w: Shape
    geometry: Geometry

    @property
    def y(self) -> Shape:
        """The shape of the result."""
        stride, padding, dilation, _ = self.geometry
        return (self.x[0], self.w[0], *output_size(self.x, self.w[2:], stride, padding, dilation))

    @property
    def weights(self) -> Shape:
        """The shape of the weights as oneDNN wants it."""
        return _blocked(self.w, self.geometry[3])

    def window(self) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        """Strides, dilations (0 is dense), padding before and after."""
        stride, padding, dilation, _ = self.geometry
        rank = len(stride)
        return stride, tuple(d - 1 for d in dilation), padding[:rank], padding[rank:]

    def forward(self, has_bias: bool, relu: bool) -> Description:
        """The descriptor of the forward pass."""
        return Description(
            "convolution_forward",
            api.engine(),
            api.FORWARD_TRAINING,
            api.CONVOLUTION_DIRECT,
            Layout.channels_last(self.x),
            Layout.any(self.weights),
            Layout.plain(self.w[:1]) if has_bias else None,
            Layout.channels_last(self.y),
            *self.window(),
            Attributes(relu),
        )


@lru_cache(KEPT)
def _convolution_forward(shapes: _ConvolutionShapes, has_bias: bool, relu: bool) -> _Convolution:
    description = shapes.forward(has_bias, relu)
    weights = description.layout("weights")
    arguments = {api.SRC: description.layout("src"), api.WEIGHTS: weights, api.DST: description.layout("dst")}
    if has_bias:
        arguments[api.BIAS] = Layout.plain(shapes.w[:1])
    return _Convolution(Primitive(description, arguments), Reorder(Layout.plain(shapes.weights), weights))


@lru_cache(KEPT)
def _convolution_backward_data(shapes: _ConvolutionShapes) -> _Convolution:
    description = Description(
        "convolution_backward_data",
        api.engine(),
        api.CONVOLUTION_DIRECT,
        Layout.channels_last(shapes.x),
        Layout.any(shapes.weights),
        Layout.channels_last(shapes.y),
        *shapes.window(),
        shapes.forward(False, False),
        None,
    )
    weights = description.layout("weights")
    arguments = {
        api.DIFF_DST: description.layout("diff_dst"),
        api.WEIGHTS: weights,
        api.DIFF_SRC: description.layout("diff_src"),
    }
    return _Convolution(Primitive(description, arguments), Reorder(Layout.plain(shapes.weights), weights))


@lru_cache(KEPT)
def _convolution_backward_weights(shapes: _ConvolutionShapes, has_bias: bool) -> _Convolution:
    description = Description(
        "convolution_backward_weights",
        api.engine(),
        api.CONVOLUTION_DIRECT,
        Layout.channels_last(shapes.x),
        Layout.any(shapes.weights),
        Layout.plain(shapes.w[:1]) if has_bias else None,
        Layout.channels_last(shapes.y),
        *shapes.window(),
        shapes.forward(has_bias, False),
        None,
    )
    weights = description.layout("diff_weights")
    arguments = {
        api.SRC: description.layout("src"),
        api.DIFF_DST: description.layout("diff_dst"),
        api.DIFF_WEIGHTS: weights,
    }
    if has_bias:
        arguments[api.DIFF_BIAS] = Layout.plain(shapes.w[:1])
    reorder = Reorder(weights, Layout.plain(shapes.weights))
    return _Convolution(Primitive(description, arguments), reorder, weights.size_bytes // 4)


def conv(
    x: Array,
    w: Array,
    b: Array | None,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    relu: bool = False,
) -> Array:
    """See `interface.Kernels.conv`."""
    if not x.size:
        return reference.conv(x, w, b, stride, padding, dilation, groups, relu)
    shapes = _ConvolutionShapes(x.shape, w.shape, (stride, padding, dilation, groups))
    convolution = _convolution_forward(shapes, b is not None, relu)
    x, y = channels_last(x), empty_channels_last(shapes.y)
    packed = convolution.reorder(contiguous(w))
    if b is None:
        convolution.primitive(address(x), address(packed), address(y))
    else:
        b = contiguous(b)
        convolution.primitive(address(x), address(packed), address(y), address(b))
    return y


def conv_grad_x(
    x_shape: Shape, w: Array, grad_y: Array, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> Array:
    """See `interface.Kernels.conv_grad_x`."""
    grad_x = empty_channels_last(x_shape)
    if not grad_x.size:
        return grad_x
    backward = _convolution_backward_data(_ConvolutionShapes(x_shape, w.shape, (stride, padding, dilation, groups)))
    grad_y, packed = channels_last(grad_y), backward.reorder(contiguous(w))
    backward.primitive(address(grad_y), address(packed), address(grad_x))
    return grad_x


def conv_grad_w(
    x: Array,
    kernel: Sizes,
    grad_y: Array,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    has_bias: bool = True,
) -> tuple[Array, Array | None]:
    """See `interface.Kernels.conv_grad_w`."""
    geometry = (stride, padding, dilation, groups)
    if not x.size:
        return reference.conv_grad_w(x, kernel, grad_y, *geometry, has_bias)
    shapes = _ConvolutionShapes(x.shape, (grad_y.shape[1], x.shape[1] // groups, *kernel), geometry)
    backward = _convolution_backward_weights(shapes, has_bias)
    x, grad_y, packed = channels_last(x), channels_last(grad_y), empty((backward.weights_floats,))
    grad_b = empty(shapes.w[:1]) if has_bias else None
    backward.primitive(*(address(part) for part in (x, grad_y, packed, grad_b) if part is not None))
    return backward.reorder(packed).reshape(shapes.w), grad_b
