"""Decode JPEG by libjpeg-turbo (simplejpeg), and find how much of a damaged file is really there.

simplejpeg gives the same pixels as Pillow (a test compares them); it is faster, and it reports libjpeg's warnings,
which Pillow hides.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from data_contracts.reasons import Reason
from dlcore.vision.pixels import Pixels
from spark_jobs.stages.jpeg_markers import JpegHeader, has_all_scans
from spark_jobs.stages.limits import MAX_SCANNED_PIXELS, MAX_SCANS, Unusable

END_OF_IMAGE = b"\xff\xd9"
_FOREIGN_TAIL = bytes(range(255))
_BLOCK_ROWS = 256
_BY_COMPONENTS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
_COLOURS = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}


@dataclass(frozen=True)
class JpegSize:
    """Width and height, `colours` ('GRAY', 'RGB' or 'CMYK'); `is_unusual` if simplejpeg cannot decode the file."""

    width: int
    height: int
    colours: str
    is_unusual: bool = False


@dataclass(frozen=True)
class DamagedPixels:
    """Pixels (rows, W, C) of the complete rows of a damaged file, and their share of all rows.

    `ends_early` is False if all rows are there and libjpeg only warned of corrupt data among them.
    """

    pixels: Pixels
    share: float
    ends_early: bool


def read_size(data: bytes, header: JpegHeader) -> JpegSize:
    """Return the size and colours as libjpeg reads them.

    Raises:
        Unusable: the header cannot be read, or the file ends in it.
    """
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        return JpegSize(width, height, _COLOURS.get(colour_space, "RGB"))
    except (ValueError, KeyError):
        width, height, components = header.size
        if not (header.scans and width and height and components in _BY_COMPONENTS):
            raise Unusable(Reason.TRUNCATED if header.ends_in_header else Reason.CORRUPT_HEADER) from None
        return JpegSize(width, height, _BY_COMPONENTS[components], is_unusual=True)


def decode_unusual(data: bytes) -> Image.Image:
    """Decode by Pillow a file whose sampling simplejpeg does not take: mode L, RGB or CMYK.

    Raises:
        OSError: Pillow cannot decode it; for a file that ends early, the message says truncated.
    """
    picture = Image.open(io.BytesIO(data), formats=("JPEG",))
    picture.load()
    return picture


def check_scans(header: JpegHeader, pixels: int) -> None:
    """Compare the number of scans with the limits: libjpeg passes over all pixels for each scan, in one call.

    Raises:
        Unusable: there are too many for the number of pixels.
    """
    if header.scans > MAX_SCANS or header.scans * pixels > MAX_SCANNED_PIXELS:
        raise Unusable(Reason.TOO_MUCH_WORK)


def decode_sound(data: bytes, colours: str, min_side: int = 0) -> Pixels | None:
    """Decode a file without damage to (H, W, C); None if libjpeg warned of anything.

    colours: 'RGB', 'GRAY', or 'CMYK' for files of four inks, as stored. min_side: while decoding, the longer side may
    be scaled down to no less than this; 0 decodes at full size.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        scale = min(1.0, min_side / max(height, width)) if min_side else 1.0
        smallest = {"min_height": round(height * scale), "min_width": round(width * scale)}
        pixels: Pixels = simplejpeg.decode_jpeg(data, colours, strict=True, **smallest)
        return pixels
    except ValueError:
        return None


def decode_damaged(data: bytes, colours: str) -> DamagedPixels:
    """Decode what a damaged file really holds.

    libjpeg fills what is missing with gray and goes on. Where its picture changes if other bytes are put behind the
    file's own, the file's own data has ended.

    Raises:
        ValueError: libjpeg cannot decode the file at all.
    """
    body = data.removesuffix(END_OF_IMAGE).rstrip(b"\xff")
    pixels: Pixels = simplejpeg.decode_jpeg(body + END_OF_IMAGE, colours, strict=False)
    if not has_all_scans(body):
        return DamagedPixels(pixels[:0], 0.0, True)
    other = simplejpeg.decode_jpeg(body + _FOREIGN_TAIL + END_OF_IMAGE, colours, strict=False)
    differs = np.concatenate([_differing_rows(pixels, other, start) for start in range(0, len(pixels), _BLOCK_ROWS)])
    rows = int(differs.argmax()) if differs.any() else len(differs)
    ends_early = rows < len(differs) or not data.endswith(END_OF_IMAGE)
    return DamagedPixels(pixels[:rows], rows / len(differs), ends_early)


def _differing_rows(pixels: Pixels, other: Pixels, start: int) -> NDArray[np.bool_]:
    block = slice(start, start + _BLOCK_ROWS)
    differs: NDArray[np.bool_] = (pixels[block] != other[block]).any(axis=(1, 2))
    return differs
