"""Stronger changes than those planted in a catalogue; thresholds are calibrated on them and on `TRANSFORMS`.

People also cut more off a picture, pad it to another format, turn it further, and do several things at once. The ranges
go beyond those of `transforms.py` on purpose: a threshold chosen on gentle changes promises too much.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from sample_data.catalogue.transforms import TRANSFORMS, Changed, Transform, turned

_SEVERAL = ("mirror", "crop", "watermark", "brightness", "border", "resize", "banner", "rotate")


def large_crop(image: Image.Image, rng: np.random.Generator) -> Changed:
    """8-22 % of the width and of the height cut off, from whichever sides."""
    share = rng.uniform(0.08, 0.22)
    x, y = (int(v) for v in rng.uniform(0, share, 2) * image.size)
    width, height = int(image.width * (1 - share)), int(image.height * (1 - share))
    return Changed(image.crop((x, y, x + width, y + height)), (1, 0, -x, 0, 1, -y))


def padding(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Up to 30 % added to each side, by different amounts, in white, black or any colour."""
    x, y = (round(float(v)) for v in rng.uniform(0, 0.3, 2) * image.size)
    any_colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    colour = ((255, 255, 255), (0, 0, 0), any_colour)[int(rng.integers(3))]
    return Changed(ImageOps.expand(image, (x, y), colour), (1, 0, x, 0, 1, y))


def contrast(image: Image.Image, rng: np.random.Generator) -> Changed:
    """45-70 % or 140-190 % of the contrast."""
    factor = rng.uniform(0.45, 0.7) if rng.random() < 0.5 else rng.uniform(1.4, 1.9)
    return Changed(ImageEnhance.Contrast(image).enhance(factor))


def gamma(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Every channel to the power of 0.5-0.75 or 1.35-1.8."""
    power = rng.uniform(0.5, 0.75) if rng.random() < 0.5 else rng.uniform(1.35, 1.8)
    return Changed(image.point([round(255 * (value / 255) ** power) for value in range(256)] * 3))


def noise(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Gaussian noise of 8-24 grey levels in every channel."""
    noisy = np.asarray(image, np.float32) + rng.normal(0, rng.uniform(8, 24), (image.height, image.width, 3))
    return Changed(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)))


def noisy_greyscale(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Without colour, and noisy."""
    return noise(image.convert("L").convert("RGB"), rng)


def blur(image: Image.Image, rng: np.random.Generator) -> Changed:
    """A Gaussian blur of 0.4-1.5 % of the shorter side."""
    return Changed(image.filter(ImageFilter.GaussianBlur(min(image.size) * rng.uniform(0.004, 0.015))))


def large_turn(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Turned by 5-12 degrees, corners filled with white."""
    return turned(image, rng.uniform(5, 12) * rng.choice([-1, 1]), (255, 255, 255))


def several(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Two or three of the gentle changes, one after the other."""
    matrix = np.eye(3)
    for name in rng.choice(_SEVERAL, int(rng.integers(2, 4)), replace=False):
        changed = TRANSFORMS[str(name)](image, rng)
        image = changed.image
        matrix = np.array([*changed.matrix, 0, 0, 1]).reshape(3, 3) @ matrix
    a, b, c, d, e, f = (float(value) for value in matrix[:2].ravel())
    return Changed(image, (a, b, c, d, e, f))


STRONGER: dict[str, Transform] = {
    f.__name__: f for f in (large_crop, padding, contrast, gamma, noise, noisy_greyscale, blur, large_turn, several)
}
