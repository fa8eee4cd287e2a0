"""Convert any pixel layout that Pillow loads to 8-bit RGB and a mask of what is visible, with a flag for what was done.

A table by Pillow mode; `Image.convert("RGB")` alone saturates 16-bit gray, blackens floats and uncovers what
transparency hides.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_contracts.reasons import Flag
from spark_jobs.stages.colour_profile import to_srgb
from spark_jobs.stages.first_picture import FirstPicture

_BLOCK_ROWS = 256
# what Pillow multiplies samples of few bits by
_SAMPLE_SCALE = {1: 1, 2: 85, 4: 17, 8: 1, 16: 1}
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Colours:
    """Colours (RGB) and `alpha` (L; 255 is visible, 0 is not), which is None if everything is visible."""

    rgb: Image.Image
    alpha: Image.Image | None = None
    flags: tuple[Flag, ...] = ()

    def on(self, ground: tuple[int, int, int] = _WHITE) -> Image.Image:
        """Lay the picture on a ground of one colour."""
        if self.alpha is None:
            return self.rgb
        laid = Image.new("RGB", self.rgb.size, ground)
        laid.paste(self.rgb, mask=self.alpha)
        return laid

    def has_outline(self) -> bool:
        """Whether alpha alone shows something: parts are visible and parts are not."""
        low, high = self.alpha.getextrema() if self.alpha is not None else (255, 255)
        return low != high


def to_colours(picture: Image.Image, first: FirstPicture) -> Colours:
    """Convert a loaded picture of any mode, of the file `first`, to sRGB.

    Raises:
        ValueError: the mode cannot be converted, or float samples are not finite.
    """
    alpha = _opaque(picture, first) if first.transparent else None
    found = _BY_MODE.get(picture.mode, _plain)(picture)
    if first.depth == 16 and picture.mode in _SHORTENED_MODES:
        found = replace(found, flags=(Flag.SIXTEEN_BIT, *found.flags))
    if alpha is not None and alpha.getextrema() != (255, 255):
        found = replace(found, alpha=alpha, flags=(*found.flags, Flag.ALPHA))
    profile = picture.info.get("icc_profile") or b""
    if not profile or Flag.CMYK in found.flags:  # of CMYK, the flag says that the profile is ignored
        return found
    rgb, flags = to_srgb(found.rgb, profile, Flag.GRAYSCALE in found.flags)
    return replace(found, rgb=rgb, flags=(*found.flags, *flags))


def _opaque(picture: Image.Image, first: FirstPicture) -> Image.Image:
    """255 where a sample is not the transparent one; that is given in the file's own depth."""
    samples = np.asarray(picture)
    if len(first.transparent) == 1:
        transparent = samples == first.transparent[0] * _SAMPLE_SCALE[first.depth]
    elif first.depth == 16:
        high, low = (np.array([value >> shift & 255 for value in first.transparent]) for shift in (8, 0))
        transparent = (samples == high).all(-1) & (_low_bytes(first.data) == low).all(-1)
    else:
        transparent = (samples == np.array(first.transparent)).all(-1)
    return Image.fromarray(np.where(transparent, np.uint8(0), np.uint8(255)))


def _low_bytes(png: bytes) -> NDArray[np.uint8]:
    """The low bytes of 16-bit colours, of which Pillow keeps the high ones: reading the same file as little-endian
    gives them."""
    picture = Image.open(io.BytesIO(png), formats=("PNG",))
    picture.tile = [part._replace(args="RGB;16L") for part in picture.tile]
    return np.asarray(picture)


def _plain(picture: Image.Image) -> Colours:
    if "transparency" in picture.info and picture.mode in {"1", "L", "RGB", "P"}:
        return _with_alpha(picture)
    return Colours(picture.convert("RGB"), None, _SOURCE_FLAGS.get(picture.mode, ()))


def _with_alpha(picture: Image.Image) -> Colours:
    """Take colours and alpha apart. Alpha that is 255 everywhere does not count, nor does alpha of a BMP that is 0
    everywhere.

    Programs write a BMP's fourth byte without meaning it (Photoshop, Windows), and show the picture opaque.
    """
    flags = _SOURCE_FLAGS.get(picture.mode, ())
    rgba = picture.convert("RGBA")
    alpha = rgba.getchannel("A")
    extremes = alpha.getextrema()
    if extremes == (255, 255) or (extremes == (0, 0) and picture.format == "BMP"):
        return Colours(rgba.convert("RGB"), None, flags)
    return Colours(rgba.convert("RGB"), alpha, (*flags, Flag.ALPHA))


def _sixteen_bit(picture: Image.Image) -> Colours:
    """0..65535 to 0..255: 65535 = 255 * 257."""
    return _by_blocks(
        picture, lambda samples: (samples.astype(np.uint32) + 128) // 257, (Flag.SIXTEEN_BIT, Flag.GRAYSCALE)
    )


def _long_integer(picture: Image.Image) -> Colours:
    """32-bit integers: 16-bit samples if they fit, else by their own range."""
    samples = np.asarray(picture)
    if samples.min() >= 0 and 255 < samples.max() <= 65535:
        return _sixteen_bit(picture)
    return _scaled(picture)


def _scaled(picture: Image.Image) -> Colours:
    """Samples in [0, 1] or [0, 255] by that range, any others by their own."""
    blocks = [(block.min(), block.max()) for block in _blocks(np.asarray(picture))]
    low, high = float(min(low for low, _ in blocks)), float(max(high for _, high in blocks))
    if not all(np.isfinite(extreme) for block in blocks for extreme in block):
        raise ValueError("got samples that are not finite, expected none")
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    scale = 255.0 / (high - low or 1.0)
    return _by_blocks(
        picture,
        lambda samples: np.rint((samples.astype(np.float64) - low) * scale),
        (Flag.FLOAT_SAMPLES, Flag.GRAYSCALE),
    )


def _by_blocks(
    picture: Image.Image, to_gray: Callable[[NDArray[np.generic]], NDArray[np.generic]], flags: tuple[Flag, ...]
) -> Colours:
    """Convert a picture in blocks of rows: all rows at once would need eight bytes per pixel several times."""
    gray = np.concatenate([to_gray(block).astype(np.uint8) for block in _blocks(np.asarray(picture))])
    return Colours(Image.fromarray(gray).convert("RGB"), None, flags)


def _blocks(samples: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    for start in range(0, len(samples), _BLOCK_ROWS):
        yield samples[start : start + _BLOCK_ROWS]


_SHORTENED_MODES = frozenset({"RGB", "RGBA", "RGBX", "LA", "CMYK"})
_SOURCE_FLAGS: dict[str, tuple[Flag, ...]] = {
    "1": (Flag.GRAYSCALE,),
    "L": (Flag.GRAYSCALE,),
    "LA": (Flag.GRAYSCALE,),
    "La": (Flag.GRAYSCALE,),
    "P": (Flag.PALETTE,),
    "PA": (Flag.PALETTE,),
    "CMYK": (Flag.CMYK,),
}
_BY_MODE: dict[str, Callable[[Image.Image], Colours]] = {
    **dict.fromkeys(("RGBA", "RGBa", "LA", "La", "PA"), _with_alpha),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), _sixteen_bit),
    "I": _long_integer,
    "F": _scaled,
}
