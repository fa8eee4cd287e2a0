"""The memory of arrays: channels-last order, alignment to cache lines, and keeping freed memory in the process."""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Sequence

import numpy as np

from dlcore.activity import Array

logger = logging.getLogger(__name__)

CACHE_LINE_BYTES = 64
_FLOATS_PER_LINE = CACHE_LINE_BYTES // 4
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_THRESHOLD = 32 << 20  # glibc refuses more


def empty(shape: Sequence[int]) -> Array:
    """A new contiguous array of undefined content that begins at a cache line."""
    size = math.prod(shape)
    spare = np.empty(size + _FLOATS_PER_LINE, np.float32)
    start = (-spare.ctypes.data % CACHE_LINE_BYTES) // 4
    return spare[start : start + size].reshape(shape)


def empty_channels_last(shape: Sequence[int]) -> Array:
    """A new array of logical `shape` (N, C, ...) in channels-last memory, of undefined content."""
    n, c, *spatial = shape
    return channels_first(empty((n, *spatial, c)))


def channels_last(x: Array) -> Array:
    """`x` (N, C, ...) as float32 in channels-last memory; itself if it already is."""
    return channels_first(np.ascontiguousarray(channels_to_end(x), np.float32))


def channels_to_end(x: Array) -> Array:
    """(N, C, ...) -> (N, ..., C), a view."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_first(x: Array) -> Array:
    """(N, ..., C) -> (N, C, ...), a view: the way back from `channels_to_end`."""
    return x.transpose(0, -1, *range(1, x.ndim - 1))


def is_channels_last(x: Array) -> bool:
    """Whether the channels of `x` (N, C, ...) lie side by side in memory, and its last dimension does not."""
    return x.ndim > 2 and x.strides[1] == x.itemsize and not x.flags.c_contiguous


def contiguous(x: Array) -> Array:
    """`x` as float32 in row-major order; itself if it already is."""
    return np.ascontiguousarray(x, np.float32)


def retain_freed_memory() -> bool:
    """Let this process keep the memory of freed arrays up to 32 MiB instead of giving it back to the system.

    For training processes: a step frees what the next one needs, and fetching zeroed pages anew doubles the time of
    simple operations. The process stays as large as it has ever been. Without glibc, it returns False and changes
    nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        logger.info("no mallopt in the C library; freed memory goes back to the system")
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD))
