"""The pixels of a picture as an array, and resizing them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels: TypeAlias = NDArray[np.uint8]
"""An RGB picture (H, W, 3)."""


def resized(pixels: Pixels, side: int) -> Pixels:
    """(H, W, 3) -> (side, side, 3), warped; each pixel is the mean of what it covers."""
    if pixels.shape[:2] == (side, side):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
