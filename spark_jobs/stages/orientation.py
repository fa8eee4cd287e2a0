"""Which way up a picture is, by its EXIF or XMP metadata."""

from __future__ import annotations

import contextlib
import re

from PIL import Image

UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns a picture of each orientation upright."""
_TAG = 0x0112
_XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """The orientation (1 to 8) of an EXIF block, else that of an XMP packet; 1 if neither has one."""
    with contextlib.suppress(Exception):  # Pillow's reader raises anything on a broken block
        block = Image.Exif()
        block.load(exif)
        orientation = block.get(_TAG)
        if orientation is not None:
            return orientation if orientation in TURNS else UPRIGHT
    found = _XMP.search(xmp)
    return int(found[1]) if found else UPRIGHT


def orientation_of_picture(picture: Image.Image) -> int:
    """The same for a file that Pillow has opened."""
    with contextlib.suppress(Exception):
        orientation = picture.getexif().get(_TAG, UPRIGHT)
        return orientation if orientation in TURNS else UPRIGHT
    return UPRIGHT
