"""TIFF: cut files are named so, metadata and later pages spoil nothing, tiles cost no more memory than the picture."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages.decode import decode_image
from tests.spark_jobs.stages.picture_files import PICTURE, PIXELS, encoded, mean_difference

WAYS: list[dict[str, object]] = [
    {},
    {"compression": "tiff_lzw"},
    {"compression": "tiff_adobe_deflate"},
    {"compression": "packbits"},
    {"big_tiff": True},
]
EXIF, NEXT_PAGE = 0x8769, struct.pack("<I", 0)


@pytest.mark.parametrize("options", WAYS)
def test_cut_anywhere_is_truncated(options: dict[str, object]) -> None:
    data = encoded(PICTURE, "TIFF", **options)
    assert mean_difference(decode_image(data), PIXELS) < 5
    for share in (0.001, 0.05, 0.5, 0.9):
        assert decode_image(data[: max(int(len(data) * share), 9)]).reason is Reason.TRUNCATED, share


def test_numbers_of_either_order() -> None:
    pixels = PIXELS[:64, :64]
    header = b"MM\0*" + struct.pack(">I", 8 + pixels.size)
    values = [(256, 3, 64 << 16), (257, 3, 64 << 16), (258, 3, 8 << 16), (259, 3, 1 << 16), (262, 3, 2 << 16)]
    values += [(273, 4, 8), (277, 3, 3 << 16), (278, 3, 64 << 16), (279, 4, pixels.size)]
    directory = struct.pack(">H", len(values)) + b"".join(
        struct.pack(">HHII", tag, kind, 1, v) for tag, kind, v in values
    )
    data = header + pixels.tobytes() + directory + bytes(4)
    assert mean_difference(decode_image(data), pixels) < 5


def test_broken_metadata_and_later_pages_spoil_nothing() -> None:
    notes = TiffImagePlugin.ImageFileDirectory_v2()
    notes[270], notes[EXIF] = "x" * 50_000, 0x7FFFFFFF  # a description, and EXIF beyond the end of the file
    notes.tagtype[EXIF] = 4
    row = decode_image(encoded(PICTURE, "TIFF", tiffinfo=notes))
    assert (row.reason, row.flags) == (Reason.OK, ())
    pages = encoded(PICTURE, "TIFF", save_all=True, append_images=[PICTURE.rotate(90)] * 2)
    for data in (pages, pages[: int(len(pages) * 0.6)]):
        row = decode_image(data)
        assert (row.reason, row.flags) == (Reason.OK, (Flag.ANIMATED,))
        assert mean_difference(row, PIXELS) < 5


def test_pages_in_a_circle_and_out_of_the_file() -> None:
    data = encoded(PICTURE, "TIFF")
    directory = int.from_bytes(data[4:8], "little")
    place = directory + 2 + 12 * int.from_bytes(data[directory : directory + 2], "little")
    for following in (directory, 0x7FFFFFF0):
        row = decode_image(data[:place] + struct.pack("<I", following) + data[place + 4 :])
        assert (row.reason, row.flags) == (Reason.OK, (Flag.ANIMATED,))


def test_tiles_larger_than_any_picture_are_refused() -> None:
    size, side = struct.pack("<HHII", 256, 4, 1, 64), 60_000
    values = [(257, 64), (258, 8), (259, 1), (262, 1), (277, 1), (322, side), (323, side), (324, 8), (325, 100)]
    entries = [size, *(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values)]
    data = (
        b"II*\0" + struct.pack("<I", 108) + bytes(100) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    )
    assert decode_image(data).reason is Reason.TOO_MUCH_WORK


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
def test_sixteen_bits_are_flagged(options: dict[str, object]) -> None:
    gray = np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257
    row = decode_image(encoded(Image.fromarray(gray), "TIFF", **options))
    assert set(row.flags) == {Flag.SIXTEEN_BIT, Flag.GRAYSCALE}
    assert mean_difference(row, np.asarray(PICTURE.convert("L").convert("RGB"))) < 4
