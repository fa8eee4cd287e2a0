"""Pixels become a network's input."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dlcore.vision.preprocessing import Preprocessing


def test_grey_is_the_luminance_as_pillow_has_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    x = Preprocessing(8, "GREY", (100.0,), (0.5,)).normalise(pixels)
    expected = np.stack([np.asarray(Image.fromarray(each).convert("L"), np.float32) for each in pixels])
    assert x.shape == (2, 1, 8, 8) and x.dtype == np.float32
    np.testing.assert_allclose(x[:, 0], (expected - 100) * 0.5, atol=0.51)  # Pillow rounds to whole numbers


def test_means_and_scales_are_one_for_each_channel() -> None:
    with pytest.raises(ValueError, match="got 3 means and 3 scales, expected 1 of both for GREY"):
        Preprocessing(8, "GREY")
    with pytest.raises(ValueError, match="got fit 'warp', channels 'HSV', expected one of"):
        Preprocessing(8, "HSV")
