"""Layers over volumes (N, C, T, H, W), built from those over images: frame by frame, then along the frames."""

from dataclasses import dataclass, field

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.layout import SAME, channel_sum, places, same_padding
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pooling import SpatialAveragePooling, SpatialMaxPooling
from dlcore.nn.weights import Regularizer, create_weights, needed


def _frames(x: Array) -> Array:
    """(N, C, T, H, W) -> (N * T, C, H, W) in channels-last memory."""
    n, channels, frames, height, width = x.shape
    return x.transpose(0, 2, 3, 4, 1).reshape(n * frames, height, width, channels).transpose(0, 3, 1, 2)


def _volume(x: Array, frames: int) -> Array:
    """(N * T, C, H, W) -> (N, C, T, H, W), T being `frames`."""
    return x.reshape(len(x) // frames, frames, *x.shape[1:]).transpose(0, 2, 1, 3, 4)


@dataclass(eq=False)
class VolumetricConvolution(Module):
    """3-D convolution; pad -1 in all dimensions keeps ceil(size / stride).

    x: (N, n_input_plane, T, H, W) -> (N, n_output_plane, T', H', W'); weight (out, in, k_t, k_h, k_w).
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

    def __post_init__(self) -> None:
        volume = self.k_t * self.k_h * self.k_w
        self.weight, self.bias = create_weights(
            self,
            (self.n_output_plane, self.n_input_plane, self.k_t, self.k_h, self.k_w),
            (self.n_output_plane,) if self.with_bias else None,
            (self.n_input_plane * volume, self.n_output_plane * volume),
            (None, None),
            (self.wRegularizer, self.bRegularizer),
        )

    def _padding(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        kernel, stride = (self.k_t, self.k_h, self.k_w), (self.d_t, self.d_h, self.d_w)
        pads = (self.pad_t, self.pad_h, self.pad_w)
        found = [
            same_padding(size, k, s) if p == SAME else (p, p)
            for size, k, s, p in zip(shape, kernel, stride, pads, strict=True)
        ]
        if any(size + sum(p) < k for size, p, k in zip(shape, found, kernel, strict=True)):
            raise ValueError(f"{self.label()}: got input size {shape}, expected at least the kernel {kernel}")
        return found

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        if x.ndim != 5 or x.shape[1] != self.n_input_plane:
            raise ValueError(f"{self.label()}: got input {x.shape}, expected (N, {self.n_input_plane}, T, H, W)")
        ends, (top, bottom), (left, right) = self._padding(x.shape[2:])
        padded = np.pad(x, [(0, 0), (0, 0), ends, (0, 0), (0, 0)])
        steps = places(padded.shape[2], self.k_t, self.d_t)
        taken = [slice(t, t + (steps - 1) * self.d_t + 1, self.d_t) for t in range(self.k_t)]
        geometry = ((self.d_h, self.d_w), (top, left, bottom, right), (1, 1), 1)
        inputs = [_frames(padded[:, :, frames]) for frames in taken]
        weight, bias = self.weight, self.bias
        parts = (kernels.conv2d(part, weight.value[:, :, t], None, *geometry) for t, part in enumerate(inputs))
        total = np.asarray(sum(parts))
        if bias is not None:
            total = total + bias.value[:, None, None]

        def pull(grad: Array) -> Array:
            sent, back, grad_w = _frames(grad), np.zeros_like(padded), np.zeros_like(weight.value)
            for t, (part, frames) in enumerate(zip(inputs, taken, strict=True)):
                grad_x, part_w, _ = kernels.conv2d_backward(
                    part, weight.value[:, :, t], sent, *geometry, has_bias=False
                )
                back[:, :, frames] += _volume(needed(grad_x), steps)
                grad_w[:, :, t] = needed(part_w)
            weight.accumulate(grad_w)
            if bias is not None:
                bias.accumulate(channel_sum(grad))
            return back[:, :, ends[0] : ends[0] + x.shape[2]]

        return _volume(total, steps), pull


def _pooled(x: Array, within: Module, along: Module) -> tuple[Array, Pullback]:
    """`within` each frame, then `along` the frames, whose pixels lie side by side as one row."""
    n, channels, frames = x.shape[:3]
    images, pull_within = within.apply(_frames(x))
    volume = _volume(images, frames)
    side = volume.shape[3:]
    rows, pull_along = along.apply(volume.reshape(n, channels, frames, side[0] * side[1]))

    def pull(grad: Array) -> Array:
        back: Array = pull_along(grad.reshape(rows.shape)).reshape(volume.shape)
        return _volume(pull_within(_frames(back)), frames)

    return rows.reshape(n, channels, rows.shape[2], *side), pull


@dataclass(eq=False)
class VolumetricMaxPooling(Module):
    """The maximum of each box. x: (N, C, T, H, W) -> (N, C, T', H', W')."""

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
        within = SpatialMaxPooling(self.k_w, self.k_h, self.d_w, self.d_h, self.pad_w, self.pad_h)
        return _pooled(x, within, SpatialMaxPooling(1, self.k_t, 1, self.d_t, 0, self.pad_t))


@dataclass(eq=False)
class VolumetricAveragePooling(Module):
    """The mean of each box; see SpatialAveragePooling. x: (N, C, T, H, W) -> (N, C, T', H', W')."""

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
        options = False, self.ceil_mode, self.count_include_pad
        within = SpatialAveragePooling(self.k_w, self.k_h, self.d_w, self.d_h, self.pad_w, self.pad_h, *options)
        return _pooled(x, within, SpatialAveragePooling(1, self.k_t, 1, self.d_t, 0, self.pad_t, *options))
