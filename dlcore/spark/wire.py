"""The numbers that go from one task to another: fp32 as they are, or BigDL's "fp16", the upper 16 bits of fp32.

BigDL cuts the lower bits off (`FP16CompressedTensor`); here they are rounded to the nearest, ties to the even one, so
that the errors of many gradients have no common direction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.activity import Array

HALF: np.dtype[Any] = np.dtype(np.uint16)
"""The type of rounded numbers in a block."""
_AT_ONCE = 1 << 15
"""Numbers that are rounded at once, which the processor's cache holds."""
_LOWER_HALF, _QUIET = np.uint32(0x7FFF), np.uint32(0x400000)


def rounded(values: Array, out: Array | None = None) -> Array:
    """The upper 16 bits (P,) of fp32 numbers (P,), rounded; what is not a number stays none.

    out: uint16, for the result.
    """
    result: Array = np.empty(values.shape, HALF) if out is None else out
    scratch = np.empty(min(_AT_ONCE, values.size), np.uint32)
    for start in range(0, values.size, _AT_ONCE):
        some = values[start : start + _AT_ONCE]
        bits, upper = some.view(np.uint32), scratch[: some.size]
        np.right_shift(bits, 16, out=upper)
        upper &= 1
        upper += _LOWER_HALF
        upper += bits
        if np.isnan(some.max()):  # a payload in the lower half alone would become an infinity
            np.copyto(upper, bits | _QUIET, where=np.isnan(some))
        upper >>= 16
        result[start : start + some.size] = upper
    return result


def received(values: Array) -> Array:
    """Numbers from a block: fp32 again, if they were rounded."""
    if values.dtype != HALF:
        return values
    bits = values.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)
