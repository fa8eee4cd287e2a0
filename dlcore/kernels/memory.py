"""Memory of arrays: channels-last order and aligned buffers that are used again."""

from collections.abc import Sequence

import numpy as np

from dlcore.activity import Array


def channels_last(x: Array) -> Array:
    """`x` (N, C, H, W) as float32 in channels-last memory; itself if it already is."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1), np.float32).transpose(0, 3, 1, 2)


def empty(shape: Sequence[int]) -> Array:
    """A new contiguous array of undefined content."""
    return np.empty(shape, np.float32)


def empty_channels_last(shape: Sequence[int]) -> Array:
    """A new array of logical `shape` (N, C, H, W) in channels-last memory, of undefined content."""
    n, c, h, w = shape
    return empty((n, h, w, c)).transpose(0, 3, 1, 2)
