"""Formats by their first bytes, and images behind foreign bytes, however these are made."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages import file_format
from spark_jobs.stages.decode import decode_image
from spark_jobs.stages.limits import Limits
from tests.spark_jobs.stages.picture_files import PICTURE, PIXELS, encoded, mean_difference

FORMATS = ["JPEG", "PNG", "GIF", "WEBP"]
SKIPPING = Limits(skip_leading_garbage=True)


def brands(major: bytes, *compatible: bytes) -> bytes:
    size = 16 + 4 * len(compatible)
    return struct.pack(">I", size) + b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)


@pytest.mark.parametrize("major", [b"avif", b"mif1", b"msf1", b"miaf", b"MA1B", b"iso8"])
def test_avif_by_any_of_its_brands(major: bytes) -> None:
    data = encoded(PICTURE, "AVIF")
    own = int.from_bytes(data[:4], "big")
    assert file_format.identify(brands(major, b"mif1", b"avif")) == "avif"
    row = decode_image(data[:8] + major + data[12:own] + data[own:])
    assert (row.reason, row.source_format) == (Reason.OK, "avif")
    assert mean_difference(row, PIXELS) < 12


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (brands(b"heic", b"mif1"), "heic"),
        (brands(b"mif1", b"heic"), "heic"),
        (brands(b"isom", b"mp42"), "unknown"),
        (brands(b"isom")[:12], "unknown"),
        (b"BMW is a car, and no picture of one", "unknown"),
        (b"12345678WEBP is not RIFF", "unknown"),
    ],
)
def test_other_starts(start: bytes, name: str) -> None:
    assert file_format.identify(start + bytes(50)) == name


def test_cut_avif_is_truncated() -> None:
    data = encoded(PICTURE, "AVIF")
    for share in (0.1, 0.5, 0.9):
        assert decode_image(data[: int(len(data) * share)]).reason is Reason.TRUNCATED


def test_avif_of_other_primaries_is_flagged() -> None:
    data = encoded(PICTURE, "AVIF")
    place = data.index(b"colrnclx") + 8
    assert Flag.PROFILE_IGNORED not in decode_image(data).flags
    display_p3 = data[:place] + b"\0\x0c" + data[place + 2 :]
    assert decode_image(display_p3).flags == (Flag.PROFILE_IGNORED,)


@pytest.mark.parametrize("name", FORMATS)
def test_image_behind_foreign_bytes(name: str) -> None:
    data = encoded(PICTURE, name)
    false_starts = b"\xff\xd8\xff\xe0 GIF89a\0\0\0\0 RIFF1234WEBPVP9  \x89PNG\r\n\x1a\n "
    for garbage in (b"\r\n", false_starts * 20, b"<html>" + bytes(60_000)):
        found = decode_image(b"x" + garbage + data)
        assert found.reason is Reason.LEADING_GARBAGE
        row = decode_image(b"x" + garbage + data, SKIPPING)
        assert (row.reason, row.source_format) == (Reason.OK, name.lower())
        assert Flag.LEADING_GARBAGE_SKIPPED in row.flags


@pytest.mark.parametrize("signature", [b"\xff\xd8\xff\xe0\x00\x02", b"\xff\xd8\xff\xc4", b"GIF89a", b"RIFFxxxxWEBP"])
def test_nested_signatures_cost_one_pass(signature: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are looked at, counted: a megabyte of signatures took hours when each was opened as a file."""
    looked_at = 0

    class Counted(bytes):
        def __getitem__(self, key: object) -> object:  # type: ignore[override]
            nonlocal looked_at
            found = super().__getitem__(key)  # type: ignore[index]
            looked_at += len(found) if isinstance(found, bytes) else 1
            return found

    rubbish = Counted(b"x" + signature * (1_000_000 // len(signature)))
    assert file_format.embedded_image(rubbish) is None
    assert looked_at < 100 * file_format.EMBEDDED_WINDOW
    assert decode_image(bytes(rubbish)).reason is Reason.NOT_IMAGE


@pytest.mark.parametrize("alpha", [0, 255, 128])
@pytest.mark.parametrize("reserved", [bytes(4), b"\x01\0\x02\0"])
def test_fourth_byte_of_a_bmp(alpha: int, reserved: bytes) -> None:
    """Version 3 header (56 bytes) with a mask for alpha; all zero is written by programs that mean opaque."""
    side = 64
    pixels = np.dstack([PIXELS[:side, :side, ::-1], np.full((side, side), alpha, np.uint8)])
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 56, side, side, 1, 32, 3, pixels.size, 0, 0, 0, 0) + masks
    start = b"BM" + struct.pack("<I", 70 + pixels.size) + reserved + struct.pack("<I", 14 + len(head))
    row = decode_image(start + head + pixels[::-1].tobytes())
    opaque = PIXELS[:side, :side].astype(float)
    expected = opaque if alpha in {0, 255} else 255 + (opaque - 255) * alpha / 255
    assert mean_difference(row, expected.astype(np.uint8)) < 5
    assert (Flag.ALPHA in row.flags) == (alpha == 128)


def test_gray_png_with_hidden_parts_stays_white() -> None:
    hidden = PICTURE.convert("LA")
    hidden.putalpha(0)
    assert decode_image(encoded(hidden, "PNG")).reason is Reason.BLANK
    assert decode_image(encoded(Image.new("RGBA", (64, 64), (9, 9, 9, 0)), "TIFF")).reason is Reason.BLANK
