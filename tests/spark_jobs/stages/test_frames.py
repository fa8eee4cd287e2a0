"""GIF and WebP: the first frame alone decides, whatever stands or is missing behind it."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages import limits
from spark_jobs.stages.decode import decode_image
from spark_jobs.stages.frames import first_gif_frame, first_webp_frame
from spark_jobs.stages.limits import Limits, Unusable
from tests.spark_jobs.stages.picture_files import PICTURE, PIXELS, encoded, mean_difference

OTHERS = [PICTURE.rotate(90), PICTURE.rotate(180)]
ANIMATED = {name: encoded(PICTURE, name, save_all=True, append_images=OTHERS, duration=100) for name in ("GIF", "WEBP")}
FIRST = {"GIF": np.asarray(PICTURE.quantize(256).convert("RGB")), "WEBP": PIXELS}


@pytest.mark.parametrize("file_format", ["GIF", "WEBP"])
def test_later_frames_may_be_cut_anywhere(file_format: str) -> None:
    one = len(encoded(PICTURE, file_format))
    data = ANIMATED[file_format]
    for end in (len(data), len(data) - 1, one + (len(data) - one) // 4, one + 2 * (len(data) - one) // 3):
        row = decode_image(data[:end])
        assert row.reason is Reason.OK
        assert Flag.ANIMATED in row.flags
        assert mean_difference(row, FIRST[file_format]) < 12


@pytest.mark.parametrize("file_format", ["GIF", "WEBP"])
def test_first_frame_that_is_cut_is_truncated(file_format: str) -> None:
    data = ANIMATED[file_format]
    for end in (14, 40, 900, len(data) // 5):
        row = decode_image(data[:end])
        assert row.reason is Reason.TRUNCATED, end


def test_first_gif_frame_keeps_its_transparent_colour() -> None:
    hidden = PICTURE.convert("RGBA")
    hidden.paste((255, 0, 255, 0), (0, 0, 130, 220))
    row = decode_image(encoded(hidden, "GIF", save_all=True, append_images=OTHERS, comment=b"x" * 3000))
    assert {Flag.ALPHA, Flag.PALETTE, Flag.ANIMATED} <= set(row.flags)
    expected = PIXELS.copy()
    expected[:, :130] = 255
    assert mean_difference(row, expected) < 12


def test_cut_metadata_of_a_webp_is_left_out() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(PICTURE, "WEBP", exif=exif, xmp=b"<x:xmpmeta>" + bytes(5000))
    assert decode_image(data).flags == (Flag.EXIF_ROTATED,)
    row = decode_image(data[:-3000])
    assert (row.reason, row.flags) == (Reason.OK, (Flag.EXIF_ROTATED,))
    assert mean_difference(row, PIXELS[::-1, ::-1]) < 8
    assert Flag.TRAILING_GARBAGE in decode_image(data + b"behind").flags


def test_size_of_a_webp_is_checked_before_memory_is_set_aside() -> None:
    """The canvas of 16383 x 16383 pixels takes Pillow 2 GB when it opens the file."""
    canvas = struct.pack("<I", 0x10) + (16382).to_bytes(3, "little") * 2
    for body in (b"VP8X" + struct.pack("<I", 10) + canvas, b"VP8L" + struct.pack("<I", 5) + b"\x2f\xff\xff\xff\x0f"):
        data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
        with pytest.raises(Unusable, match=r"too_many_pixels|TOO_MANY_PIXELS"):
            first_webp_frame(data, Limits())


def test_parts_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PARTS", 1000)
    screen = ANIMATED["GIF"][:13]
    with pytest.raises(Unusable, match="too_much_work"):
        first_gif_frame(screen[:10] + b"\0\0\0" + b"!\xfe" + b"\x01a" * (11_000), Limits())
    chunks = b"abcd\0\0\0\0" * 1002
    with pytest.raises(Unusable, match="too_much_work"):
        first_webp_frame(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks, Limits())
