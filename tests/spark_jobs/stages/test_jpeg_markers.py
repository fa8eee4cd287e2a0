"""JPEG: where the first picture ends, metadata that spoils nothing, colours and sampling of every kind."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages.decode import decode_image, read_pixels
from spark_jobs.stages.jpeg_markers import read_header, segments
from tests.spark_jobs.stages.picture_files import PICTURE, PIXELS, encoded, mean_difference

JPEG = encoded(PICTURE, "JPEG", quality=90)
OTHER = encoded(PICTURE.rotate(180), "JPEG", progressive=True)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def with_segment(part: bytes) -> bytes:
    return JPEG[:2] + part + JPEG[2:]


@pytest.mark.parametrize("first", [JPEG, OTHER])
@pytest.mark.parametrize(
    ("tail", "flag"),
    [
        (JPEG, Flag.SEVERAL_PICTURES),
        (OTHER, Flag.SEVERAL_PICTURES),
        (bytes(40) + OTHER, Flag.SEVERAL_PICTURES),
        (OTHER[:500], Flag.SEVERAL_PICTURES),
        (b"\0\0\0\x18ftypmp42" + bytes(500), Flag.TRAILING_GARBAGE),  # a phone's moving picture
        (b"garbage that ends like a picture\xff\xd9", Flag.TRAILING_GARBAGE),
    ],
)
def test_first_picture_is_kept_alone(first: bytes, tail: bytes, flag: Flag) -> None:
    row = decode_image(first + tail)
    assert (row.image, row.flags) == (first, (flag,))


def test_camera_file_of_several_pictures() -> None:
    data = encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(90)], quality=90)
    row = decode_image(data)
    assert row.flags == (Flag.SEVERAL_PICTURES,)
    assert row.image is not None
    assert data.startswith(row.image)
    assert row.image.count(b"\xff\xd8\xff") == 1
    assert decode_image(row.image).image == row.image


def test_picture_without_its_end_before_another_is_damaged() -> None:
    row = decode_image(JPEG[:-2] + OTHER)
    assert set(row.flags) == {Flag.SEVERAL_PICTURES, Flag.TRUNCATED_TAIL}
    assert decode_image(JPEG[: len(JPEG) // 2] + OTHER).reason is Reason.TRUNCATED


def test_thumbnail_in_the_metadata_is_no_second_picture() -> None:
    exif = Image.Exif()
    thumbnail = encoded(PICTURE.resize((64, 64)), "JPEG")
    data = with_segment(segment(0xE1, b"Exif\0\0" + exif.tobytes()[6:] + thumbnail))
    assert (decode_image(data).image, decode_image(data).flags) == (data, ())


@pytest.mark.parametrize(
    "body", [b"", b"JFIF", b"JFIF\0\x01", b"Exif\0\0", b"Exif\0\0MM\0*", b"MPF\0", b"Adobe", b"ICC"]
)
@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE])
def test_metadata_that_is_cut_short_spoils_nothing(marker: int, body: bytes) -> None:
    if (marker, body) == (0xEE, b"Adobe"):
        return  # by it libjpeg knows the colours
    row = decode_image(with_segment(segment(marker, body)))
    assert row.reason is Reason.OK
    assert mean_difference(row, np.asarray(Image.open(io.BytesIO(JPEG)))) < 5


@pytest.mark.parametrize("parts", [[(1, 2, b"a" * 200)], [(1, 1, b"rubbish" * 30)], [(2, 2, b"b" * 99), (1, 3, b"a")]])
def test_profile_of_which_parts_are_missing_is_ignored(parts: list[tuple[int, int, bytes]]) -> None:
    broken = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + part) for number, count, part in parts)
    row = decode_image(with_segment(broken))
    assert row.flags == (Flag.PROFILE_IGNORED,)
    assert row.image in {JPEG, with_segment(broken)}  # without the parts, where some are missing
    assert decode_image(row.image).image == row.image


def test_orientation_by_xmp() -> None:
    note = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="8"/>'
    row = decode_image(with_segment(segment(0xE1, note)))
    assert row.flags == (Flag.EXIF_ROTATED,)
    assert mean_difference(row, np.rot90(np.asarray(Image.open(io.BytesIO(JPEG))), 1)) < 5


def test_file_that_ends_in_its_header_is_truncated() -> None:
    long = with_segment(segment(0xE1, b"Exif\0\0" + bytes(30_000)))
    assert decode_image(long[:4096]).reason is Reason.TRUNCATED
    assert decode_image(JPEG[:100]).reason is Reason.TRUNCATED


def test_sampling_that_simplejpeg_does_not_take() -> None:
    """Three across for the luma, one for the others: nothing writes it, so a picture of one luma value is made so."""
    plain = encoded(Image.new("L", (144, 96), 90), "JPEG", quality=95)
    _, start, end = next(item for item in segments(plain) if item[0] == 0xC0)
    frame = bytearray(plain[start:end])
    for factors in (b"\x31", b"\x13"):
        frame[11:12] = factors
        data = plain[:start] + bytes(frame) + plain[end:]
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        row = decode_image(data)
        assert row.reason is Reason.BLANK  # read to its pixels, which are one colour
        assert expected.std() < 1


@pytest.mark.parametrize("scans", [1100, 20_000])
def test_scans_are_limited(scans: int) -> None:
    places = [place for place in segments(OTHER) if place[0] == 0xDA]
    again = OTHER[places[0][1] : places[0][1] + 14]
    assert read_header(OTHER).scans == len(places)
    assert decode_image(OTHER[:-2] + again * scans + b"\xff\xd9").reason is Reason.TOO_MUCH_WORK
    assert decode_image(OTHER).reason is Reason.OK


def test_gray_and_four_inks_keep_their_colours_where_they_are_loaded() -> None:
    gray = PICTURE.convert("L")
    row = decode_image(with_orientation(encoded(gray, "JPEG", quality=95)))
    assert set(row.flags) == {Flag.GRAYSCALE, Flag.EXIF_ROTATED}
    assert row.image is not None
    assert np.abs(read_pixels(row.image)[::-1, ::-1, 0].astype(int) - np.asarray(gray)).mean() < 3
    assert mean_difference(decode_image(JPEG), PIXELS) < 6


def with_orientation(data: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    body = exif.tobytes()
    return data[:2] + segment(0xE1, body if body.startswith(b"Exif") else b"Exif\0\0" + body) + data[2:]
