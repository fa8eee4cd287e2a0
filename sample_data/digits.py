"""Pictures of digits as people and printers write them: in several typefaces, leaning, stretched, thick and thin, with
noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sample_data.catalogue.lettering import typeface


def digits(count: int, seed: int, side: int = 28) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(pictures (count, side, side), white on black; the digit 0 to 9 of each (count,)).

    side: in pixels.

    Raises:
        ValueError: a side below 16.
    """
    if side < 16:
        raise ValueError(f"digits: got side {side}, expected 16 pixels or more")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    pictures = [_drawn(rng, int(label), side) for label in labels]
    return np.array(pictures, np.uint8).reshape(count, side, side), labels


def _drawn(rng: np.random.Generator, digit: int, side: int) -> NDArray[np.uint8]:
    picture = Image.new("L", (2 * side, 2 * side))
    size = round(side * rng.uniform(1.2, 1.7))
    thickness = int(rng.integers(0, 3))
    face = typeface(int(rng.integers(100)), size)
    ImageDraw.Draw(picture).text((side, side), str(digit), fill=255, font=face, anchor="mm", stroke_width=thickness)
    picture = picture.transform((side, side), Image.Transform.AFFINE, _placed(rng, side), Image.Resampling.BILINEAR)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.8)))
    noisy = np.asarray(picture) * rng.uniform(0.6, 1.0) + rng.normal(0.0, 10.0, (side, side))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _placed(rng: np.random.Generator, side: int) -> tuple[float, ...]:
    """Where a pixel of the result comes from in a picture twice as large that was turned, leaned, stretched and
    moved."""
    angle, lean = rng.uniform(-0.25, 0.25), rng.uniform(-0.3, 0.3)
    across, down = 2 * rng.uniform(0.85, 1.2, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[across, lean], [0.0, down]])
    middle = side / 2
    x, y = side - matrix @ [middle, middle] + rng.uniform(-0.12, 0.12, 2) * side
    return (*matrix[0], x, *matrix[1], y)
