"""Tell from a file's first bytes, before any decoder runs, its format or where an image begins behind foreign bytes.

Sources: the formats' own specifications; for brands ISO/IEC 14496-12 section 4.3 and AV1-AVIF section 6.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from spark_jobs.stages import jpeg_markers

DECODED_FORMATS = ("jpeg", "png", "gif", "webp", "tiff", "bmp", "avif")
"""Formats that the pipeline decodes; others `identify` only names."""
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
    (4, b"ftyp", "brands"),  # see `_BRANDS`
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jpegxl"),
    (0, b"8BPS", "psd"),
    (0, b"\x00\x00\x01\x00", "ico"),
    (0, b"%PDF-", "pdf"),
    (0, b"BM", "bmp"),
)
# of a file type box: whichever brand it names, as its own or among the compatible ones
_BRANDS: tuple[tuple[bytes, str], ...] = (
    (b"avif", "avif"),
    (b"avis", "avif"),
    (b"heic", "heic"),
    (b"heix", "heic"),
    (b"heim", "heic"),
    (b"heis", "heic"),
    (b"hevc", "heic"),
    (b"hevx", "heic"),
    (b"mif1", "heic"),
    (b"msf1", "heic"),
)
_BRANDS_WINDOW = 256
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
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
_EMBEDDED = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP", re.DOTALL)


def identify(data: bytes) -> str:
    """Name the format of `data` by its first bytes: an image format, 'html', 'svg', 'json' or 'unknown'."""
    for offset, signature, name in SIGNATURES:
        if data.startswith(signature, offset) and (name not in _CONFIRMED or _CONFIRMED[name](data)):
            return _brand(data) if name == "brands" else name
    start = data[:TEXT_WINDOW].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for word, name in TEXT_STARTS:
        if start.startswith(word):
            return name
    if start.startswith((b"<?xml", b"<!--")):
        return next((name for word, name in ((b"<svg", "svg"), (b"<html", "html")) if word in start), "unknown")
    return "unknown"


def embedded_image(data: bytes) -> int | None:
    """Return the offset in the first 64 KB at which an image begins behind foreign bytes; None if there is none.

    A signature counts if a header with a size follows. Each signature costs the same few steps, however they are
    nested.
    """
    for found in _EMBEDDED.finditer(data, 1, EMBEDDED_WINDOW):
        start = found.start()
        if _HEADERS[found.group()[:4]](data, start):
            return start
    return None


def avif_data(data: bytes) -> bytes:
    """The file with a first brand that Pillow knows, if only its compatible brands say that it is AVIF."""
    return data if data[8:12] in {b"avif", b"avis", b"mif1", b"msf1"} else data[:8] + b"avif" + data[12:]


def avif_end(data: bytes) -> int:
    """The end of the last box; beyond `len(data)` if bytes are missing."""
    position = 0
    while len(data) - position > 0 and (len(data) - position < 8 or data[position + 4 : position + 8].isalnum()):
        size, kind = int.from_bytes(data[position : position + 4], "big"), 8
        if size == 1:
            size, kind = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        if size == 0:
            return len(data)
        position += max(size, kind)
    return position


def has_other_avif_colours(data: bytes) -> bool:
    """Whether a colour box names primaries or a transfer that are not of sRGB's kind (H.273: P3, BT.2020, PQ, HLG)."""
    place = data.find(b"colrnclx", 0, EMBEDDED_WINDOW)
    if place < 0:
        return False
    primaries, transfer = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (8, 10))
    return primaries not in {1, 2} or transfer in {16, 18}


def _brand(data: bytes) -> str:
    size = min(int.from_bytes(data[:4], "big"), len(data), _BRANDS_WINDOW)
    brands = {data[at : at + 4] for at in (8, *range(16, size - 3, 4))}
    return next((name for brand, name in _BRANDS if brand in brands), "unknown")


def _has_png_header(data: bytes, start: int) -> bool:
    header = data[start + 12 : start + 29]
    return header.startswith(b"IHDR") and zlib.crc32(header) == int.from_bytes(data[start + 29 : start + 33], "big")


def _has_gif_header(data: bytes, start: int) -> bool:
    packed = data[start + 10 : start + 11] or b"\0"
    first_block = start + 13 + (3 << ((packed[0] & 7) + 1) if packed[0] & 0x80 else 0)
    return data[first_block : first_block + 1] in {b"!", b","}


def _has_webp_header(data: bytes, start: int) -> bool:
    return data[start + 12 : start + 16] in {b"VP8 ", b"VP8L", b"VP8X"}


# a signature that is short is confirmed by what follows it
_CONFIRMED: dict[str, Callable[[bytes], bool]] = {
    "bmp": lambda data: int.from_bytes(data[14:18], "little") in _BMP_HEADERS,
    "webp": lambda data: data.startswith(b"RIFF"),
}
_HEADERS: dict[bytes, Callable[[bytes, int], bool]] = {
    b"\xff\xd8\xff": jpeg_markers.is_picture,
    b"\x89PNG": _has_png_header,
    b"GIF8": _has_gif_header,
    b"RIFF": _has_webp_header,
}
