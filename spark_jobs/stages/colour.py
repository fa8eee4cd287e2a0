"""Any pixel layout that Pillow loads, to 8-bit RGB, with a flag for what was done.

A table by Pillow mode; `Image.convert("RGB")` alone saturates 16-bit gray, blackens floats and uncovers what
transparency hides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from data_contracts.reasons import Flag

RgbAndFlags = tuple[Image.Image, tuple[Flag, ...]]


def to_rgb(picture: Image.Image) -> RgbAndFlags:
    """Convert a loaded picture of any mode to RGB.

    Raises:
        ValueError: the mode cannot be converted, or float samples are not finite.
    """
    if "transparency" in picture.info and picture.mode in {"1", "L", "RGB", "P"}:
        rgb, flags = _composite(picture)
        return rgb, (*_SOURCE_FLAGS.get(picture.mode, ()), *flags)
    return _BY_MODE.get(picture.mode, _plain)(picture)


def _plain(picture: Image.Image) -> RgbAndFlags:
    return picture.convert("RGB"), _SOURCE_FLAGS.get(picture.mode, ())


def _composite(picture: Image.Image) -> RgbAndFlags:
    """Lay the picture on white; one whose alpha is 255 everywhere is not flagged."""
    rgba = picture.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB"), ()
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB"), (Flag.ALPHA,)


def _composite_gray(picture: Image.Image) -> RgbAndFlags:
    rgb, flags = _composite(picture)
    return rgb, (Flag.GRAYSCALE, *flags)


def _composite_palette(picture: Image.Image) -> RgbAndFlags:
    rgb, flags = _composite(picture)
    return rgb, (Flag.PALETTE, *flags)


def _sixteen_bit(picture: Image.Image) -> RgbAndFlags:
    """0..65535 to 0..255: 65535 = 255 * 257."""
    samples = np.asarray(picture).astype(np.uint32)
    gray = ((samples + 128) // 257).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB"), (Flag.SIXTEEN_BIT, Flag.GRAYSCALE)


def _long_integer(picture: Image.Image) -> RgbAndFlags:
    """32-bit integers: 16-bit samples if they fit, else by their own range."""
    samples = np.asarray(picture)
    if samples.min() >= 0 and 255 < samples.max() <= 65535:
        return _sixteen_bit(picture)
    return _scaled(samples.astype(np.float64))


def _float(picture: Image.Image) -> RgbAndFlags:
    return _scaled(np.asarray(picture, np.float64))


def _scaled(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> RgbAndFlags:
    """Samples in [0, 1] or [0, 255] by that range, any others by their own."""
    if not np.isfinite(samples).all():
        raise ValueError(f"got {(~np.isfinite(samples)).sum()} samples that are not finite, expected none")
    low, high = float(samples.min()), float(samples.max())
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    gray = np.rint((samples - low) * (255.0 / (high - low or 1.0))).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB"), (Flag.FLOAT_SAMPLES, Flag.GRAYSCALE)


_SOURCE_FLAGS: dict[str, tuple[Flag, ...]] = {
    "1": (Flag.GRAYSCALE,),
    "L": (Flag.GRAYSCALE,),
    "P": (Flag.PALETTE,),
    "CMYK": (Flag.CMYK,),
}
_BY_MODE: dict[str, Callable[[Image.Image], RgbAndFlags]] = {
    "RGBA": _composite,
    "RGBa": _composite,
    "LA": _composite_gray,
    "La": _composite_gray,
    "PA": _composite_palette,
    "I;16": _sixteen_bit,
    "I;16B": _sixteen_bit,
    "I;16L": _sixteen_bit,
    "I;16N": _sixteen_bit,
    "I": _long_integer,
    "F": _float,
}
