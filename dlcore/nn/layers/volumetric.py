"""Layers over volumes (N, C, T, H, W), or (C, T, H, W) without a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlcore.activity import Array, Pullback
from dlcore.nn.layers.convolution import Window, convolve, outlined
from dlcore.nn.layers.pooling import PoolWindow
from dlcore.nn.layout import Layout
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.weights import Regularizer, create_weights

__all__ = ["VolumetricAveragePooling", "VolumetricConvolution", "VolumetricMaxPooling"]


@dataclass(eq=False)
class VolumetricConvolution(Module):
    """3-D convolution; pad -1 in all dimensions keeps ceil(size / stride).

    x: (N, n_input_plane, T, H, W) -> (N, n_output_plane, T', H', W'), also without N; weight (out, in, k_t, k_h, k_w).
    Source: BigDL's VolumetricConvolution.
    """

    n_input_plane: int
    n_output_plane: int
    k_t: int
    k_w: int
    k_h: int
    d_t: int = 1
    d_w: int = 1
    d_h: int = 1
    pad_t: int = 0
    pad_w: int = 0
    pad_h: int = 0
    with_bias: bool = True
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    data_format = "NCHW"
    propagate_back = True

    @property
    def window(self) -> Window:
        """The geometry; (time, height, width)."""
        kernel, stride = (self.k_t, self.k_h, self.k_w), (self.d_t, self.d_h, self.d_w)
        return Window(kernel, stride, (self.pad_t, self.pad_h, self.pad_w), (1, 1, 1))

    def __post_init__(self) -> None:
        self.window.check(self.label())
        volume = self.k_t * self.k_h * self.k_w
        self.weight, self.bias = create_weights(
            self,
            (self.n_output_plane, self.n_input_plane, self.k_t, self.k_h, self.k_w),
            (self.n_output_plane,) if self.with_bias else None,
            (self.n_input_plane * volume, self.n_output_plane * volume),
            (self.wRegularizer, self.bRegularizer),
        )

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=False)

    def apply_with_relu(self, x: Array) -> tuple[Array, Pullback]:
        return convolve(self, x, relu=True)

    def outline(self, x: Array) -> Array:
        return outlined(self, x)


@dataclass(eq=False)
class VolumetricMaxPooling(Module):
    """The maximum of each box.

    x: (N, C, T, H, W) -> (N, C, T', H', W'), also without N. Source: BigDL's VolumetricMaxPooling.
    """

    k_t: int
    k_w: int
    k_h: int
    d_t: int
    d_w: int
    d_h: int
    pad_t: int = 0
    pad_w: int = 0
    pad_h: int = 0

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _window(self, False).maximum(x, _layout(x, self), self.label())


@dataclass(eq=False)
class VolumetricAveragePooling(Module):
    """The mean of each box; see SpatialAveragePooling.

    x: (N, C, T, H, W) -> (N, C, T', H', W'), also without N.
    Source: BigDL's VolumetricAveragePooling.
    """

    k_t: int
    k_w: int
    k_h: int
    d_t: int
    d_w: int
    d_h: int
    pad_t: int = 0
    pad_w: int = 0
    pad_h: int = 0
    count_include_pad: bool = True
    ceil_mode: bool = False

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _window(self, self.ceil_mode).mean(x, _layout(x, self), self.label(), self.count_include_pad)


def _window(module: VolumetricMaxPooling | VolumetricAveragePooling, is_ceil: bool) -> PoolWindow:
    m = module
    return PoolWindow((m.k_t, m.k_h, m.k_w), (m.d_t, m.d_h, m.d_w), (m.pad_t, m.pad_h, m.pad_w), is_ceil)


def _layout(x: Array, module: Module) -> Layout:
    return Layout.of(x, "NCHW", None, module.label(), 3)
