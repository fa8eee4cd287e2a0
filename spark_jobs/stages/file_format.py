"""What a file's bytes say before any decoder runs: its format, where its image ends, whether all of it is there.

Standard library only, nothing is decoded to pixels. Sources: JPEG ITU-T T.81 annex B (markers) and G (progressive
scans), PNG W3C third edition section 5 (chunks), RIFF/WebP container specification.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DECODED_FORMATS = ("jpeg", "png", "gif", "webp", "tiff", "bmp", "avif")
"""Formats that the pipeline decodes; `identify` knows others by name only."""
NOT_IMAGES = frozenset({"html", "svg", "json", "unknown"})

# (offset, bytes, format); the first that fits wins
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (8, b"WEBP", "webp"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"II+\x00", "tiff"),
    (0, b"MM\x00+", "tiff"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (4, b"ftyphei", "heic"),
    (4, b"ftyphev", "heic"),
    (4, b"ftypmif1", "heic"),
    (4, b"ftypmsf1", "heic"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jpegxl"),
    (0, b"8BPS", "psd"),
    (0, b"\x00\x00\x01\x00", "ico"),
    (0, b"%PDF-", "pdf"),
    (6, b"\x00\x00\x00\x00", "bmp"),  # with "BM" in front, see `identify`
)
# first words of a text file, after white space and byte-order mark, in lower case
TEXT_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "html"),
    (b"<html", "html"),
    (b"<head", "html"),
    (b"<body", "html"),
    (b"<svg", "svg"),
    (b"<!doctype svg", "svg"),
    (b"{", "json"),
    (b"[", "json"),
)
TEXT_WINDOW = 1024
EMBEDDED_WINDOW = 65536
_EMBEDDED = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP", re.DOTALL)
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not a stuffed zero, a restart marker or a fill byte
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def identify(data: bytes) -> str:
    """Name the format of `data` by its first bytes: an image format, 'html', 'svg', 'json' or 'unknown'."""
    for offset, signature, name in SIGNATURES:
        if data.startswith(signature, offset) and (name != "bmp" or data.startswith(b"BM")):
            return name
    start = data[:TEXT_WINDOW].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for word, name in TEXT_STARTS:
        if start.startswith(word):
            return name
    if start.startswith((b"<?xml", b"<!--")):
        return next((name for word, name in ((b"<svg", "svg"), (b"<html", "html")) if word in start), "unknown")
    return "unknown"


def embedded_images(data: bytes) -> Iterator[int]:
    """Yield the offsets in the first 64 KB at which an image may begin behind foreign bytes."""
    for found in _EMBEDDED.finditer(data, 1, EMBEDDED_WINDOW):
        yield found.start()


def image_end(data: bytes, name: str) -> int | None:
    """Return the offset after the last byte of the image; beyond `len(data)` if bytes are missing, None if unknown."""
    measure = _ENDS.get(name)
    return measure(data) if measure else None


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment of a JPEG; a scan's end is after its entropy-coded bytes."""
    position = 2
    while position + 2 <= len(data):
        found = _MARKER.search(data, position)
        if found is None:
            return
        position, marker = found.start(), data[found.start() + 1]
        if marker == _END_OF_IMAGE:
            yield marker, position, position + 2
            return
        if position + 4 > len(data):
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield marker, position, end
        position = end


def has_all_scans(data: bytes) -> bool:
    """Tell whether the last scan of a JPEG has at least begun.

    A progressive file sends each coefficient in several scans, down to its lowest bit; before the last scan all rows
    are there, but coarse. A sequential file is complete when each component has had its scan.
    """
    lowest_bits: dict[int, list[int | None]] = {}
    for marker, start, end in jpeg_segments(data):
        body = data[start + 4 : end]
        if marker in _START_OF_FRAME and len(body) > 5:
            lowest_bits = {component: [None] * 64 for component in body[6 : 6 + 3 * body[5] : 3]}
        elif marker == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for component in body[1 : 1 + 2 * body[0] : 2]:
                if component in lowest_bits and last < 64:
                    lowest_bits[component][first : last + 1] = [bits & 15] * (last + 1 - first)
    return bool(lowest_bits) and all(bit == 0 for bits in lowest_bits.values() for bit in bits)


@dataclass(frozen=True)
class PngRows:
    """The complete rows of a PNG that ends early: `data` is a whole PNG of them, `share` their part of all rows."""

    data: bytes
    share: float


def complete_png_rows(data: bytes) -> PngRows | None:
    """Make a whole PNG of the rows that a truncated one still holds; None if there are none or it is interlaced."""
    chunks = list(_png_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    stride = 1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0) + 7) // 8
    compressed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    if interlace or stride == 1 or height == 0:
        return None
    try:
        pixels = zlib.decompressobj().decompress(compressed, stride * height)
    except zlib.error:
        return None
    rows = len(pixels) // stride
    if rows == 0:
        return None
    header = struct.pack(">II", width, rows) + chunks[0][1][8:]
    between = [chunk for chunk in chunks[1:] if chunk[0] in {b"PLTE", b"tRNS", b"eXIf"}]
    whole = [(b"IHDR", header), *between, (b"IDAT", zlib.compress(pixels[: rows * stride], 1)), (b"IEND", b"")]
    return PngRows(data[:8] + b"".join(_png_chunk(*chunk) for chunk in whole), rows / height)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, body) of each chunk, the last one as far as it goes."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _jpeg_end(data: bytes) -> int | None:
    if data.endswith(b"\xff\xd9"):
        return len(data)
    return next((end for marker, _, end in jpeg_segments(data) if marker == _END_OF_IMAGE), None)


def _png_end(data: bytes) -> int | None:
    position = 8
    while position + 8 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IEND":
            return end
        position = end
    return position + 12


def _riff_end(data: bytes) -> int | None:
    length = int.from_bytes(data[4:8], "little")
    return 8 + length + length % 2


_ENDS: dict[str, Callable[[bytes], int | None]] = {"jpeg": _jpeg_end, "png": _png_end, "webp": _riff_end}
