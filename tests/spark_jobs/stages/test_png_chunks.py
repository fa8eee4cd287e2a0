"""PNG: metadata never spoils a picture, damaged pixels never pass for sound ones, transparency of every depth."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages.decode import decode_image
from tests.spark_jobs.stages.picture_files import PICTURE, PIXELS, encoded, mean_difference, png, png_chunk

HEIGHT, WIDTH, _ = PIXELS.shape
ROWS = [row.tobytes() for row in PIXELS]


def with_chunk(chunk: bytes, before: bytes = b"IDAT") -> bytes:
    data = encoded(PICTURE, "PNG")
    place = data.index(before) - 4
    return data[:place] + chunk + data[place:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "kind", ["bKGD", "pHYs", "tIME", "sBIT", "hIST", "sPLT", "eXIf", "iTXt", "zTXt", "tEXt", "vpAg"]
)
def test_rubbish_in_metadata_leaves_the_picture_alone(kind: str, before: bytes) -> None:
    for body in (b"", b"\xff", bytes(range(256)) * 5):
        for wrong in (0, 1):
            row = decode_image(with_chunk(png_chunk(kind.encode(), body, wrong), before))
            assert (row.reason, row.flags) == (Reason.OK, ())
            assert mean_difference(row, PIXELS) < 5


@pytest.mark.parametrize("wrong", [0, 5])
def test_profile_that_unpacks_to_megabytes_is_ignored_with_a_flag(wrong: int) -> None:
    bomb = b"icc\0\0" + zlib.compress(bytes(3_000_000 if not wrong else 100))
    row = decode_image(with_chunk(png_chunk(b"iCCP", bomb, wrong)))
    assert (row.reason, row.flags) == (Reason.OK, (Flag.PROFILE_IGNORED,))


@pytest.mark.parametrize(
    ("chunk", "is_flagged"),
    [
        (png_chunk(b"cICP", bytes([12, 13, 0, 1])), True),  # Display P3
        (png_chunk(b"cICP", bytes([1, 13, 0, 1])), False),
        (png_chunk(b"gAMA", struct.pack(">I", 100_000)), True),  # linear
        (png_chunk(b"gAMA", struct.pack(">I", 45_455)), False),
        (png_chunk(b"sRGB", b"\0") + png_chunk(b"gAMA", struct.pack(">I", 55_556)), False),
    ],
)
def test_colours_that_are_not_srgb_are_flagged(chunk: bytes, is_flagged: bool) -> None:
    assert (Flag.PROFILE_IGNORED in decode_image(with_chunk(chunk)).flags) == is_flagged


def test_orientation_in_a_text_is_applied() -> None:
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    row = decode_image(with_chunk(png_chunk(b"iTXt", xmp)))
    assert row.flags == (Flag.EXIF_ROTATED,)
    assert mean_difference(row, np.rot90(PIXELS, -1)) < 5


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_changed_pixels_never_pass_for_sound(level: int, share: float) -> None:
    chunks = png(ROWS, WIDTH, 8, 2, level=level, parts=40)
    place = 2 + round(share * 39)
    damaged = bytearray(chunks[place])
    damaged[20:90] = bytes(value ^ 0x55 for value in damaged[20:90])
    row = decode_image(b"".join([*chunks[:place], bytes(damaged), *chunks[place + 1 :]]))
    if share < 0.95:
        assert (row.reason, row.image) == (Reason.CORRUPT_PIXELS, None)
    else:
        assert (row.reason, row.flags) == (Reason.OK, (Flag.CORRUPT_DATA,))
        assert row.height is not None
        assert 0.95 * HEIGHT <= row.height < HEIGHT
        assert mean_difference(row, PIXELS[: row.height]) < 5


def test_changed_pixels_of_an_interlaced_picture_are_refused() -> None:
    data = bytearray(encoded(PICTURE, "PNG"))
    data[len(data) // 2] ^= 1
    assert decode_image(bytes(data)).reason is Reason.CORRUPT_PIXELS
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert decode_image(bytes(data)).reason is not Reason.OK


def test_wrong_checksum_of_right_pixels_is_no_damage() -> None:
    """A writer that counts chunks wrong: the checksum over all pixels, inside, is right."""
    chunks = png(ROWS, WIDTH, 8, 2, parts=5)
    wrong = [chunk[:-4] + b"\0\0\0\0" if chunk[4:8] == b"IDAT" else chunk for chunk in chunks]
    row = decode_image(b"".join(wrong))
    assert (row.reason, row.flags) == (Reason.OK, ())
    assert mean_difference(row, PIXELS) < 5


def test_damaged_palette_is_refused_and_damaged_transparency_flagged() -> None:
    index = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 16
    palette = np.random.default_rng(2).integers(0, 256, 48, np.uint8).tobytes()
    rows = [row.tobytes() for row in index]
    refused = png(rows, 64, 8, 3, png_chunk(b"PLTE", palette, 1))
    assert decode_image(b"".join(refused)).reason is Reason.CORRUPT_PIXELS
    flagged = png(rows, 64, 8, 3, png_chunk(b"PLTE", palette), png_chunk(b"tRNS", bytes(16), 1))
    row = decode_image(b"".join(flagged))
    assert (row.reason, set(row.flags)) == (Reason.OK, {Flag.PALETTE, Flag.CORRUPT_DATA})


def test_missing_end_is_flagged_and_later_frames_are_left_out() -> None:
    whole = encoded(PICTURE, "PNG")
    assert decode_image(whole[:-12]).flags == (Flag.TRUNCATED_TAIL,)
    assert decode_image(whole + b"\n\n").flags == (Flag.TRAILING_GARBAGE,)
    animated = encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)])
    for data in (animated, animated[: animated.index(b"fdAT") + 2000]):
        row = decode_image(data)
        assert Flag.ANIMATED in row.flags
        assert mean_difference(row, PIXELS) < 5


def packed(samples: NDArray[np.int64], depth: int) -> list[bytes]:
    """Rows of samples (H, W), the first in the highest bits."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    bits = samples[..., None] >> np.arange(depth - 1, -1, -1) & 1
    return [np.packbits(row.ravel()).tobytes() for row in bits.astype(np.uint8)]


@pytest.mark.parametrize(("depth", "clear"), [(1, 0), (2, 2), (4, 9), (8, 200), (16, 0x1234), (8, 0x0100 + 200)])
def test_transparent_gray_of_every_depth(depth: int, clear: int) -> None:
    samples = np.random.default_rng(depth).integers(0, 1 << depth, (64, 64))
    samples[:, :20] = clear % (1 << depth)
    row = decode_image(
        b"".join(png(packed(samples, depth), 64, depth, 0, png_chunk(b"tRNS", struct.pack(">H", clear))))
    )
    top = (1 << depth) - 1
    ground = 128 if depth == 1 else 255  # white on white would be nothing: then the ground is gray
    expected = np.where(samples == clear & top, ground, np.rint(samples * 255 / top)).astype(np.uint8)
    assert mean_difference(row, np.repeat(expected[..., None], 3, -1)) < 5
    assert (Flag.GRAY_GROUND in row.flags) == (depth == 1)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour_is_that_value_alone(depth: int) -> None:
    """In 16 bits, colours that share the high bytes with the transparent one stay."""
    scale = 1 if depth == 8 else 257
    clear = np.array([40, 90, 140]) * scale
    samples = np.tile(clear, (64, 64, 1))
    samples[:, 24:44] += 1  # of 16 bits: next to the transparent colour, the same in 8
    samples[40:] = np.random.default_rng(1).integers(0, 256, (8, 3)).repeat(8, 0) * scale
    rows = packed(samples.reshape(64, -1), depth)
    row = decode_image(b"".join(png(rows, 64, depth, 2, png_chunk(b"tRNS", struct.pack(">3H", *clear)))))
    opaque = (samples // scale).astype(np.uint8)
    expected = np.where((samples == clear).all(-1, keepdims=True), np.uint8(255), opaque)
    assert Flag.ALPHA in row.flags
    assert (Flag.SIXTEEN_BIT in row.flags) == (depth == 16)
    assert mean_difference(row, expected) < 5


def test_transparency_survives_a_cut() -> None:
    samples = np.random.default_rng(4).integers(0, 60_000, (400, 64))
    samples[:, :30] = 65_535 - 77
    data = b"".join(png(packed(samples, 16), 64, 16, 0, png_chunk(b"tRNS", struct.pack(">H", 65_535 - 77))))
    row = decode_image(data[: int(len(data) * 0.97)])
    assert set(row.flags) == {Flag.TRUNCATED_TAIL, Flag.SIXTEEN_BIT, Flag.GRAYSCALE, Flag.ALPHA}


def test_image_of_sixteen_bit_colours_is_flagged() -> None:
    rows = [(row.astype(np.uint16) * 257).astype(">u2").tobytes() for row in PIXELS]
    row = decode_image(b"".join(png(rows, WIDTH, 16, 2)))
    assert row.flags == (Flag.SIXTEEN_BIT,)
    assert mean_difference(row, np.asarray(Image.fromarray(PIXELS))) < 5
