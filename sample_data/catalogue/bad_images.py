"""Files as they go wrong in the field: one function per class makes them, and preprocessing must give the stated reason
and flags.

Catalogues plant one of each; the tests decode one of each. `make_bad_image(name, picture, rng)` spoils a good picture,
so that classes which can still be used show a product.

>>> BAD_IMAGES["html_page"].reason.value
'html_error_page'
>>> make_bad_image("html_page", sample_picture(np.random.default_rng(1)), np.random.default_rng(1))[:15]
b'<!DOCTYPE html>'
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from data_contracts.reasons import Flag, Reason

Maker = Callable[[Image.Image, np.random.Generator], bytes]
_EXIF_ORIENTATION, _TURN_RIGHT = 0x0112, 6


@dataclass(frozen=True)
class BadImage:
    """How one class of bad image is made, and what preprocessing must say about it."""

    make: Maker
    reason: Reason
    flags: frozenset[Flag] = frozenset()
    suffix: str = ".jpg"


def make_bad_image(name: str, picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Spoil `picture` (RGB, both sides at least 200) in the way `name` of `BAD_IMAGES`; same rng, same bytes.

    Raises:
        ValueError: no such class.
    """
    if name not in BAD_IMAGES:
        raise ValueError(f"got bad-image class {name!r}, expected one of {sorted(BAD_IMAGES)}")
    return BAD_IMAGES[name].make(picture, rng)


def sample_picture(rng: np.random.Generator, width: int = 480, height: int = 400) -> Image.Image:
    """Draw a soft coloured pattern (RGB), enough of a picture for every class."""
    y, x = np.mgrid[:height, :width]
    waves = rng.uniform(20, 60, 3), rng.uniform(20, 60, 3), rng.uniform(0, 6, 3)
    planes = [
        128 + 50 * np.sin(x / across + phase) + 50 * np.cos(y / down)
        for across, down, phase in zip(*waves, strict=True)
    ]
    noise = rng.normal(0, 6, (height, width, 3))
    return Image.fromarray((np.stack(planes, -1) + noise).clip(0, 255).astype(np.uint8))


def _encoded(picture: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def _jpeg(picture: Image.Image, **options: Any) -> bytes:
    return _encoded(picture, "JPEG", quality=85, **options)


def _half_jpeg(picture: Image.Image, rng: np.random.Generator) -> bytes:
    data = _jpeg(picture)
    return data[: len(data) // 2]


def _half_png(picture: Image.Image, rng: np.random.Generator) -> bytes:
    data = _encoded(picture, "PNG")
    return data[: len(data) // 2]


def _truncated_tail(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Cut off the last eight rows of pixels: 4 % of 200."""
    data = _jpeg(picture, restart_marker_rows=1, subsampling="4:4:4")
    *_, last_restart = re.finditer(rb"\xff[\xd0-\xd7]", data)
    return data[: last_restart.start()]


def _corrupt_pixels(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Change one byte in the middle of a PNG's pixels; its checksums tell."""
    data = bytearray(_encoded(picture, "PNG"))
    data[len(data) // 2] ^= int(rng.integers(1, 256))
    return bytes(data)


def _many_scans(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Repeat the first scan of a progressive JPEG: libjpeg passes over all pixels for each."""
    data = _jpeg(picture, progressive=True)
    start = data.index(b"\xff\xda")
    return data[:-2] + data[start : start + 14] * 2000 + data[-2:]


def _wrong_comment(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Put a comment with a wrong checksum before the pixels of a PNG, which are sound."""
    data = _encoded(picture, "PNG")
    return data[:33] + struct.pack(">I", 9) + b"tEXtComment\0x" + bytes(4) + data[33:]


def _several_pictures(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Write a camera's file of a picture and its preview, one behind the other."""
    return _encoded(picture, "MPO", save_all=True, append_images=[picture.resize((160, 120))])


def _display_p3(picture: Image.Image, rng: np.random.Generator) -> bytes:
    return _jpeg(picture, icc_profile=colour_profile(DISPLAY_P3))


def _broken_profile(picture: Image.Image, rng: np.random.Generator) -> bytes:
    return _jpeg(picture, icc_profile=colour_profile(DISPLAY_P3)[:200])


def _white_article(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Paint the article white: only its outline, in alpha, is left."""
    white = Image.new("RGB", picture.size, "white")
    white.putalpha(_with_alpha(picture).getchannel("A"))
    return _encoded(white, "PNG")


DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
"""XYZ of the primaries as columns, adapted to D50 (SMPTE EG 432-1)."""


def colour_profile(primaries: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None, gamma: float = 2.2) -> bytes:
    """Make an ICC profile of three primaries (3, 3), or of gray without them, with a power curve.

    Source: ICC.1:2010, sections 7 (layout) and 10 (tag types).
    """
    curve = struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256))
    white = _xyz(0.9642, 1.0, 0.8249)
    tags = {b"desc": struct.pack(">4s4xI4s79x", b"desc", 4, b"own\0"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": white}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        tags |= {letter + b"TRC": curve for letter in (b"r", b"g", b"b")}
        tags |= {letter + b"XYZ": _xyz(*column) for letter, column in zip((b"r", b"g", b"b"), primaries.T, strict=True)}
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    space = b"RGB " if primaries is not None else b"GRAY"
    header = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    return (header + white[8:]).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(*values: float) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values))


def _in_mode(mode: str, name: str = "PNG") -> Maker:
    return lambda picture, rng: _encoded(picture.convert(mode), name)


def _text(words: str) -> Maker:
    return lambda picture, rng: words.encode()


def _corrupt_middle(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Overwrite 100 bytes of the scan at a place where libjpeg notices it, as it does at about three places of four."""
    data = bytearray(_jpeg(picture, restart_marker_blocks=8))
    for _ in range(1000):
        start = int(rng.integers(len(data) // 3, 2 * len(data) // 3))
        spoiled = bytes(data[:start]) + bytes(100) + bytes(data[start + 100 :])
        try:
            simplejpeg.decode_jpeg(spoiled, "RGB", strict=True)
        except ValueError as error:
            if "Corrupt JPEG data" in str(error):
                return spoiled
    raise ValueError(f"got a JPEG of {len(data)} bytes in which no damage shows, expected a picture with detail")


def _with_alpha(picture: Image.Image) -> Image.Image:
    """Hide the outer quarter of each side, with soft edges; the hidden colours are loud."""
    ramp = [np.clip(np.minimum(i, i[::-1]) / (len(i) / 8) - 1, 0, 1) for i in map(np.arange, picture.size[::-1])]
    alpha = (255 * np.outer(*ramp)).astype(np.uint8)
    colours = np.where(alpha[:, :, None] == 0, np.array([255, 0, 255], np.uint8), np.asarray(picture))
    return Image.fromarray(np.dstack([colours, alpha]))


def _sixteen_bit(picture: Image.Image, rng: np.random.Generator) -> bytes:
    return _encoded(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG")


def _float_tiff(picture: Image.Image, rng: np.random.Generator) -> bytes:
    return _encoded(Image.fromarray(np.asarray(picture.convert("L")).astype(np.float32) / 255), "TIFF")


def _animated(name: str) -> Maker:
    return lambda picture, rng: _encoded(
        picture, name, save_all=True, append_images=[picture.rotate(90)], duration=100, loop=0
    )


def _exif_rotated(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Store the picture lying down, with the EXIF orientation that turns it upright."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = _TURN_RIGHT
    return _jpeg(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _bomb(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Write a PNG of a few hundred bytes whose header promises 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _corrupt_header(picture: Image.Image, rng: np.random.Generator) -> bytes:
    return _jpeg(picture)[:4] + rng.integers(0, 250, 400, dtype=np.uint8).tobytes()


def _sized(width: int, height: int) -> Maker:
    return lambda picture, rng: _encoded(picture.resize((width, height)), "PNG")


def _blank(picture: Image.Image, rng: np.random.Generator) -> bytes:
    gray = int(rng.integers(200, 256))
    return _jpeg(Image.new("RGB", picture.size, (gray, gray, gray)))


def _oversized(picture: Image.Image, rng: np.random.Generator) -> bytes:
    scale = 2400 / max(picture.size)
    return _jpeg(picture.resize((round(picture.width * scale), round(picture.height * scale))))


_HTML = "<!DOCTYPE html>\n<html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>\n"
_SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
_HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"

BAD_IMAGES: dict[str, BadImage] = {
    "zero_bytes": BadImage(_text(""), Reason.EMPTY),
    "html_page": BadImage(_text(_HTML), Reason.HTML_ERROR_PAGE),
    "json_error": BadImage(_text('{"error": "not found", "status": 404}'), Reason.NOT_IMAGE),
    "svg_drawing": BadImage(_text(_SVG), Reason.NOT_IMAGE),
    "plain_text": BadImage(_text("image to follow\n"), Reason.NOT_IMAGE),
    "heic": BadImage(lambda picture, rng: _HEIC + rng.bytes(500), Reason.UNSUPPORTED_FORMAT),
    "leading_garbage": BadImage(lambda picture, rng: b"\r\n\r\n" + _jpeg(picture), Reason.LEADING_GARBAGE),
    "corrupt_header": BadImage(_corrupt_header, Reason.CORRUPT_HEADER),
    "decompression_bomb": BadImage(_bomb, Reason.TOO_MANY_PIXELS, suffix=".png"),
    "one_pixel": BadImage(_sized(1, 1), Reason.TOO_SMALL, suffix=".png"),
    "thin_line": BadImage(_sized(1, 5000), Reason.EXTREME_ASPECT, suffix=".png"),
    "truncated_half": BadImage(_half_jpeg, Reason.TRUNCATED),
    "truncated_png": BadImage(_half_png, Reason.TRUNCATED, suffix=".png"),
    "corrupt_pixels": BadImage(_corrupt_pixels, Reason.CORRUPT_PIXELS, suffix=".png"),
    "many_scans": BadImage(_many_scans, Reason.TOO_MUCH_WORK),
    "blank": BadImage(_blank, Reason.BLANK),
    "truncated_tail": BadImage(_truncated_tail, Reason.OK, frozenset({Flag.TRUNCATED_TAIL})),
    "missing_end": BadImage(lambda picture, rng: _jpeg(picture)[:-2], Reason.OK, frozenset({Flag.TRUNCATED_TAIL})),
    "corrupt_middle": BadImage(_corrupt_middle, Reason.OK, frozenset({Flag.CORRUPT_DATA})),
    "trailing_garbage": BadImage(
        lambda picture, rng: _jpeg(picture) + rng.bytes(300) + b"\n", Reason.OK, frozenset({Flag.TRAILING_GARBAGE})
    ),
    "wrong_comment": BadImage(_wrong_comment, Reason.OK, suffix=".png"),
    "several_pictures": BadImage(_several_pictures, Reason.OK, frozenset({Flag.SEVERAL_PICTURES})),
    "display_p3": BadImage(_display_p3, Reason.OK, frozenset({Flag.COLOUR_PROFILE})),
    "broken_profile": BadImage(_broken_profile, Reason.OK, frozenset({Flag.PROFILE_IGNORED})),
    "white_article": BadImage(_white_article, Reason.OK, frozenset({Flag.ALPHA, Flag.GRAY_GROUND}), ".png"),
    "exif_rotated": BadImage(_exif_rotated, Reason.OK, frozenset({Flag.EXIF_ROTATED})),
    "cmyk": BadImage(_in_mode("CMYK", "JPEG"), Reason.OK, frozenset({Flag.CMYK})),
    "gray": BadImage(_in_mode("L", "JPEG"), Reason.OK, frozenset({Flag.GRAYSCALE})),
    "one_bit": BadImage(_in_mode("1"), Reason.OK, frozenset({Flag.GRAYSCALE}), ".png"),
    "gray_alpha": BadImage(
        lambda picture, rng: _encoded(_with_alpha(picture).convert("LA"), "PNG"),
        Reason.OK,
        frozenset({Flag.GRAYSCALE, Flag.ALPHA}),
        ".png",
    ),
    "palette": BadImage(
        lambda picture, rng: _encoded(picture.quantize(64), "PNG"), Reason.OK, frozenset({Flag.PALETTE}), ".png"
    ),
    "palette_transparency": BadImage(
        lambda picture, rng: _encoded(_with_alpha(picture), "GIF"),
        Reason.OK,
        frozenset({Flag.PALETTE, Flag.ALPHA}),
        ".gif",
    ),
    "transparent": BadImage(
        lambda picture, rng: _encoded(_with_alpha(picture), "PNG"), Reason.OK, frozenset({Flag.ALPHA}), ".png"
    ),
    "sixteen_bit_gray": BadImage(_sixteen_bit, Reason.OK, frozenset({Flag.SIXTEEN_BIT, Flag.GRAYSCALE}), ".png"),
    "float_tiff": BadImage(_float_tiff, Reason.OK, frozenset({Flag.FLOAT_SAMPLES, Flag.GRAYSCALE}), ".tiff"),
    "animated_gif": BadImage(_animated("GIF"), Reason.OK, frozenset({Flag.ANIMATED, Flag.PALETTE}), ".gif"),
    "animated_webp": BadImage(_animated("WEBP"), Reason.OK, frozenset({Flag.ANIMATED}), ".webp"),
    "oversized": BadImage(_oversized, Reason.OK, frozenset({Flag.DOWNSCALED})),
}
"""Class name -> how it is made and what it must give."""
