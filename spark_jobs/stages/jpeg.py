"""JPEG by libjpeg-turbo (simplejpeg): pixels, and how much of a damaged file is really there.

simplejpeg's pixels are those of Pillow (a test compares); it is faster and reports libjpeg's warnings, which Pillow
hides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from spark_jobs.stages.file_format import has_all_scans

Pixels = NDArray[np.uint8]

END_OF_IMAGE = b"\xff\xd9"
_FOREIGN_TAIL = bytes(range(255))


@dataclass(frozen=True)
class DamagedPixels:
    """Pixels (rows, W, C) of the complete rows of a damaged file, and their share of all rows.

    `ends_early` is False where all rows are there and libjpeg only warned of corrupt data among them.
    """

    pixels: Pixels
    share: float
    ends_early: bool


def decode_sound(data: bytes, colours: str, min_side: int = 0) -> Pixels | None:
    """Decode a file without damage to (H, W, C); None where libjpeg warned of anything.

    colours: 'RGB', 'GRAY', or 'CMYK' for files of four inks, as stored. min_side: the longer side may be scaled down,
    to no less than this, while decoding; 0 decodes all.
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

    libjpeg fills what is missing with gray and goes on. Where its picture changes when other bytes are put behind the
    file's own, the file's own data has ended.

    Raises:
        ValueError: libjpeg cannot decode the file at all.
    """
    body = data.removesuffix(END_OF_IMAGE).rstrip(b"\xff")
    pixels: Pixels = simplejpeg.decode_jpeg(body + END_OF_IMAGE, colours, strict=False)
    if not has_all_scans(body):
        return DamagedPixels(pixels[:0], 0.0, True)
    other = simplejpeg.decode_jpeg(body + _FOREIGN_TAIL + END_OF_IMAGE, colours, strict=False)
    differs = (pixels != other).any(axis=(1, 2))
    rows = int(differs.argmax()) if differs.any() else len(differs)
    ends_early = rows < len(differs) or not data.endswith(END_OF_IMAGE)
    return DamagedPixels(pixels[:rows], rows / len(differs), ends_early)
