"""Sizes and colours against what OpenCV itself gives, recorded by tests/golden/opencv/record.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.data.image.opencv import INTER_LINEAR, INTER_NEAREST, from_hsv, resize, scaled, to_hsv

RECORDED = dict(np.load(Path(__file__).parents[3] / "golden/opencv/recorded.npz"))
RESIZED = [key for key in RECORDED if key.count("/") == 2]
EXACT = (INTER_NEAREST, INTER_LINEAR)


@pytest.mark.parametrize("key", RESIZED)
def test_sizes_are_opencvs(key):
    name, size, mode = key.split("/")
    got = resize(RECORDED[name], *map(int, size.split("x")), int(mode))
    assert got.dtype == RECORDED[key].dtype
    tolerance = 1e-3 if name == "floats" else 0 if int(mode) in EXACT else 1
    np.testing.assert_allclose(got.astype(float), RECORDED[key], rtol=0, atol=tolerance)
    assert np.mean(got != RECORDED[key]) < 0.02 or name == "floats"


@pytest.mark.parametrize("name", ["bytes", "floats"])
def test_hue_saturation_and_value_are_opencvs(name):
    np.testing.assert_allclose(to_hsv(RECORDED[name]), RECORDED[f"hsv/{name}"], rtol=0, atol=1e-4)


def test_colours_come_back():
    floats, hsv = RECORDED["floats"], RECORDED["hsv/floats"]
    np.testing.assert_allclose(from_hsv(hsv), floats, rtol=0, atol=1e-3)
    turned = hsv + np.array([100, 0, 0], np.float32)
    np.testing.assert_allclose(from_hsv(turned), RECORDED["turned/floats"], rtol=0, atol=1e-3)
    around = turned - np.array([720, 0, 0], np.float32)
    np.testing.assert_allclose(from_hsv(around), RECORDED["turned/floats"], rtol=0, atol=1e-2)


def test_bytes_are_rounded_to_even_and_end():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    slow = [[min(max(round(int(value) * 1.5 - 20), 0), 255) for value in row] for row in values[..., 0]]
    np.testing.assert_array_equal(scaled(values, 1.5, -20)[..., 0], slow)
    assert scaled(values.astype(np.float32), 1.5, -20).max() == 255 * 1.5 - 20


@pytest.mark.parametrize(("size", "mode", "message"), [((3, 3), 7, "got mode 7"), ((0, 3), 1, "got size 0 x 3")])
def test_what_is_no_size_is_refused(size, mode, message):
    with pytest.raises(ValueError, match=message):
        resize(RECORDED["bytes"], *size, mode)
