"""Files for the tests of decoding, written by hand where no library writes them so."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sample_data.catalogue.bad_images import sample_picture
from spark_jobs.stages.decode import CanonicalImage, read_pixels

PICTURE = sample_picture(np.random.default_rng(7), 260, 220)
PIXELS = np.asarray(PICTURE)


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def mean_difference(row: CanonicalImage, expected: NDArray[np.uint8]) -> float:
    assert row.image is not None, row.reason
    return float(np.abs(read_pixels(row.image).astype(np.int16) - expected).mean())


def png_chunk(kind: bytes, body: bytes, wrong: int = 0) -> bytes:
    """A chunk; `wrong` is added to its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", (zlib.crc32(kind + body) + wrong) % (1 << 32))


def png(
    rows: list[bytes], width: int, depth: int, colour: int, *extra: bytes, level: int = 6, parts: int = 1
) -> list[bytes]:
    """The chunks of a PNG without filters, the signature first, `extra` before the pixels, these in `parts`."""
    packed = zlib.compress(b"".join(b"\0" + row for row in rows), level)
    size = -(-len(packed) // parts)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = [png_chunk(b"IDAT", packed[start : start + size]) for start in range(0, len(packed), size)]
    return [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header), *extra, *pixels, png_chunk(b"IEND", b"")]
