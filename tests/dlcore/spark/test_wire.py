"""Half of an fp32 number: the nearest, the even one of two, and what is no number stays none."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from dlcore.optim.exchange import Exchange
from dlcore.spark.wire import HALF, received, rounded


def nearest(value: float) -> int:
    """The slow way: of the two numbers of 16 bits around `value` the nearer, of two equally near the even one."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    below = bits >> 16
    known = [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in (below, below + 1)]
    if np.isinf(known[1]):  # beyond the largest number the next would be 2^128
        known[1] = np.copysign(2.0**128, float(value))
    errors = [abs(float(value) - each) for each in known]
    if errors[0] == errors[1]:
        return below + below % 2
    return below + (errors[1] < errors[0])


def test_numbers_are_rounded_to_the_nearest():
    rng = np.random.default_rng(3)
    drawn = rng.standard_normal(2000) * 10.0 ** rng.integers(-42, 38, 2000)
    ties = np.array([0x3F808000, 0x3F818000, 0x00008000, 0x80018000, 0x3F807FFF, 0x3F808001], np.uint32)
    edges = np.array([0.0, -0.0, 1.0, 1e-45, 3.4028235e38, -3.39e38])
    values = np.concatenate([drawn.astype(np.float32), ties.view(np.float32), edges.astype(np.float32)])
    expected = np.array([nearest(value) for value in values], HALF)
    np.testing.assert_array_equal(rounded(values), expected)
    many = np.tile(values, 40)  # more than are rounded at once
    np.testing.assert_array_equal(rounded(many), np.tile(expected, 40))
    again = received(expected)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(rounded(again), expected)


def test_what_is_no_number_or_infinite_stays_so():
    hidden = np.array([0x7F800001, 0xFFFFFFFF, 0xFF80FFFF, 0x7F800000, 0xFF800000], np.uint32).view(np.float32)
    found = received(rounded(np.concatenate([np.ones(5, np.float32), hidden])))
    np.testing.assert_array_equal(found, [1, 1, 1, 1, 1, np.nan, np.nan, np.nan, np.inf, -np.inf])


def test_another_format_is_refused():
    with pytest.raises(ValueError, match="got the wire format 'fp8', expected one of"):
        Exchange("fp8")  # type: ignore[arg-type]
