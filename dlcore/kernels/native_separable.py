"""An inverted residual block in one pass over memory, by the native kernels: widen by 1x1, filter plane by plane,
narrow by 1x1.

Between its convolutions, such a block has several times as many planes as its input and output (Sandler et al. 2018);
here the wide pictures never leave the caches.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.interface import Padding, Sizes
from dlcore.kernels.memory import empty
from dlcore.kernels.native_library import instruction_set, is_available, library
from dlcore.kernels.prepared import prepared

KERNELS, STRIDES = (3, 5), (1, 2)
MEMORY_BYTES = 512 << 10
"""Wide pictures larger than this leave a core's cache between two convolutions; weights larger than this do not stay in
it."""


class _Shape(ctypes.Structure):
    """`SeparableShape` of separable.h."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                *("images", "height", "width", "in_channels", "wide_channels", "out_channels", "out_height"),
                *("out_width", "kernel", "stride", "pad_top", "pad_left", "threads"),
            )
        ),
        *((name, ctypes.c_float) for name in ("wide_low", "wide_high", "deep_low", "deep_high", "out_low", "out_high")),
    ]


class _Arrays(ctypes.Structure):
    """`SeparableArrays` of separable.h."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in (
            *("x", "wide_weights", "wide_bias", "deep_weights", "deep_bias", "out_weights", "out_bias"),
            *("residual", "y", "workspace"),
        )
    ]


@dataclass(frozen=True)
class Part:
    """One of the block's convolutions: weight (K, C, kh, kw), bias (K,), and the range that its results are cut to."""

    weight: Array
    bias: Array
    low: float = -math.inf
    high: float = math.inf


def suits(
    size: Sequence[int], wide: Part | None, deep: Part, out: Part, stride: Sizes, padding: Padding, images: int
) -> bool:
    """Whether the kernel computes this block faster than three convolutions. size: (H, W) of the filter's input."""
    planes, _, kernel, width = deep.weight.shape
    if kernel != width or kernel not in KERNELS or len(set(stride)) > 1 or stride[0] not in STRIDES:
        return False
    if min(padding) < 0 or max(padding) >= kernel or not is_available() or instruction_set() == "portable":
        return False
    weights = out.weight.nbytes + (0 if wide is None else wide.weight.nbytes)
    return bool(4 * images * math.prod(size) * planes > MEMORY_BYTES > weights)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _panels(weight: Array, columns: int) -> Array:
    """(K, C) -> (panel, columns, 2 vectors), zeros behind the last of K and of C."""
    panel = 2 * library().dlcore_lanes()
    rows = _up(len(weight), panel)

    def packed() -> Array:
        padded = np.zeros((rows, columns), np.float32)
        padded[: len(weight), : weight.shape[1]] = weight
        found = empty((rows // panel, columns, panel))
        found[...] = padded.reshape(-1, panel, columns).transpose(0, 2, 1)
        return found

    return prepared(rows * columns, packed)


def _lengthened(values: Array, size: int) -> Array:
    """(..., K) with zeros up to `size`."""
    result = empty((*values.shape[:-1], size))
    result[...] = 0
    result[..., : values.shape[-1]] = values
    return result


class InvertedBlock:
    """One block of a fixed shape with its arrays bound: call it to compute `y` from what is in `x`.

    x (N, H, W, C), y (N, H', W', K) and residual (like y) are contiguous channels-last arrays; residual is added before
    the last cut. wide: None if the filter takes x itself. The result does not depend on `threads`, and that of an image
    does not depend on other images.
    """

    def __init__(
        self, x: Array, y: Array, parts: tuple[Part | None, Part, Part], stride: int, padding: Padding, *,
        residual: Array | None = None, threads: int = 1,
    ) -> None:  # fmt: skip
        wide, deep, out = parts
        planes, lanes = len(deep.weight), library().dlcore_lanes()
        whole, panel = _up(planes, lanes), 2 * lanes
        entered = deep if wide is None else wide
        self._shape = _Shape(
            *x.shape, planes, y.shape[3], *y.shape[1:3], deep.weight.shape[2], stride, *padding[:2], threads,
            entered.low, entered.high, deep.low, deep.high, out.low, out.high,
        )  # fmt: skip
        self._check(x, y, parts, residual, padding)
        taps = deep.weight.reshape(planes, -1).T
        self._kept = [
            x,
            None if wide is None else _panels(wide.weight.reshape(planes, -1), x.shape[3]),
            None if wide is None else _lengthened(wide.bias, _up(planes, panel)),
            _lengthened(taps, whole),
            _lengthened(deep.bias, whole),
            _panels(out.weight.reshape(y.shape[3], -1), whole),
            _lengthened(out.bias, _up(y.shape[3], panel)),
            residual,
            y,
            empty((library().dlcore_separable_workspace_size(ctypes.addressof(self._shape)),)),
        ]
        self._arrays = _Arrays(*(None if each is None else each.ctypes.data for each in self._kept))
        within = 0 if wide is None else x.shape[0] * x.shape[1] * x.shape[2] * wide.weight.size
        self.work: float = 2.0 * within + 2.0 * y[..., 0].size * (deep.weight.size + out.weight.size)
        self._run = library().dlcore_separable_forward
        self._addresses = ctypes.addressof(self._shape), ctypes.addressof(self._arrays)

    def _check(
        self, x: Array, y: Array, parts: tuple[Part | None, Part, Part], residual: Array | None, padding: Padding
    ) -> None:
        s = self._shape
        top, left, bottom, right = padding
        size = tuple(
            (side + before + after - s.kernel) // s.stride + 1
            for side, before, after in ((s.height, top, bottom), (s.width, left, right))
        )
        wide, deep, out = parts
        taken = s.wide_channels if wide is None else wide.weight.shape[1]
        if x.shape[3] != taken or len(deep.weight) != out.weight.shape[1] or deep.weight.shape[1] != 1:
            raise ValueError(f"inverted block: got x {x.shape}, expected (N, H, W, {taken}), and planes that fit")
        expected = (len(x), *size, len(out.weight))
        for name, array in (("y", y), ("residual", residual)):
            if array is not None and (array.shape != expected or not array.flags.c_contiguous):
                raise ValueError(f"inverted block: got {name} of shape {array.shape}, expected a contiguous {expected}")
        if not x.flags.c_contiguous:
            raise ValueError("inverted block: got x in another order, expected it contiguous")

    def __call__(self) -> None:
        """Compute y."""
        self._run(*self._addresses)
