"""The pictures of a report, small and as data URIs, so that the page needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

LARGE, SMALL = 420, 160
"""Longer side in pixels."""
Key = TypeVar("Key")
_QUALITY = 78
_MOST_PIXELS = 40_000_000
"""Most pixels of a file that is shown as it is stored; a larger one may be a decompression bomb."""


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


def picture(data: bytes, side: int) -> Picture | None:
    """A small copy of an image file, its longer side at most `side`; None if it cannot or should not be decoded."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            opened.draft("RGB", (side, side))
            small = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{text}", small.width, small.height)


def pictures(files: Mapping[Key, bytes], wanted: Iterable[Key], side: int) -> dict[Key, Picture]:
    """Small copies of the wanted files, without those that cannot be decoded."""
    found = {key: picture(files[key], side) for key in wanted if key in files}
    return {key: small for key, small in found.items() if small is not None}


def beginning(data: bytes | None, count: int = 44) -> str:
    """The beginning of a file that is not a picture, for people.

    >>> beginning(b"<html>")
    '6 bytes: <html>'
    >>> beginning(None)
    'no image cell'
    """
    if data is None:
        return "no image cell"
    if not data:
        return "0 bytes"
    text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in data[:count])
    return f"{len(data):,} bytes: {text}"
