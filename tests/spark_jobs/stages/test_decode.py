"""Every way an image goes bad gives its reason, and what is used has the right pixels. Pillow and scipy are the
judges."""

from __future__ import annotations

import io
from datetime import date
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import scipy.ndimage
import simplejpeg
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from data_contracts.images import IMAGES
from data_contracts.reasons import Flag, Reason
from sample_data.catalogue.bad_images import BAD_IMAGES, make_bad_image, sample_picture
from spark_jobs.stages.decode import CanonicalImage, decode_batches, decode_image, read_pixels
from spark_jobs.stages.limits import Limits
from spark_jobs.stages.measures import blur_of

PICTURE = sample_picture(np.random.default_rng(7), 260, 220)


@cache
def bad(name: str) -> bytes:
    return make_bad_image(name, PICTURE, np.random.default_rng(3))


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def pixels_of(row: CanonicalImage) -> NDArray[np.int64]:
    assert row.image is not None
    return read_pixels(row.image).astype(np.int64)


def mean_difference(row: CanonicalImage, picture: Image.Image) -> float:
    return float(np.abs(pixels_of(row) - np.asarray(picture.convert("RGB"))).mean())


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image_gets_its_reason(name: str) -> None:
    row = decode_image(bad(name))
    assert (row.reason, frozenset(row.flags)) == (BAD_IMAGES[name].reason, BAD_IMAGES[name].flags)
    assert (row.image is None) == (row.reason is not Reason.OK)


def test_row_without_cell() -> None:
    assert decode_image(None).reason is Reason.MISSING_IMAGE


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}, {"optimize": True}])
def test_canonical_jpeg_keeps_its_bytes(options: dict[str, object]) -> None:
    data = encoded(PICTURE, "JPEG", quality=90, **options)
    row = decode_image(data)
    assert (row.image, row.reason, row.flags) == (data, Reason.OK, ())
    assert (row.width, row.height) == PICTURE.size
    assert np.array_equal(pixels_of(row), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_other_formats_become_jpeg(file_format: str) -> None:
    data = encoded(PICTURE, file_format)
    row = decode_image(data)
    assert (row.reason, row.source_format) == (Reason.OK, file_format.lower())
    assert mean_difference(row, Image.open(io.BytesIO(data))) < 5


def test_sixteen_bit_and_float_are_scaled() -> None:
    gray = PICTURE.convert("L")
    for name in ("sixteen_bit_gray", "float_tiff"):
        assert mean_difference(decode_image(bad(name)), gray) < 2


def test_cmyk_as_pillow_converts_it() -> None:
    assert mean_difference(decode_image(bad("cmyk")), Image.open(io.BytesIO(bad("cmyk")))) < 2


def test_cmyk_without_adobe_marker_is_not_inverted() -> None:
    left_only = Image.new("L", (64, 64), 0)
    left_only.paste(255, (0, 0, 32, 64))
    full = Image.new("L", (64, 64), 255)
    data = encoded(Image.merge("CMYK", (left_only, full, full, full)), "JPEG")  # Pillow stores 255 - value, and says so
    marker = data.index(b"\xff\xee\x00\x0eAdobe")
    row = decode_image(data[:marker] + data[marker + 16 :])  # without the marker: cyan on the right, else no ink
    left, right = pixels_of(row)[32, 8], pixels_of(row)[32, 56]
    assert np.abs(left - [255, 255, 255]).max() < 8
    assert np.abs(right - [0, 255, 255]).max() < 8


def test_transparent_parts_become_white() -> None:
    for name in ("transparent", "palette_transparency", "gray_alpha"):
        pixels = pixels_of(decode_image(bad(name)))
        assert pixels[:8, :8].min() > 245
        assert np.abs(pixels[110, 130] - pixels[108:113, 128:133].mean((0, 1))).max() < 60


def test_exif_orientation_is_applied() -> None:
    row = decode_image(bad("exif_rotated"))
    assert (row.width, row.height) == PICTURE.size
    assert mean_difference(row, PICTURE) < 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_every_orientation(orientation: int, file_format: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PICTURE, file_format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    row = decode_image(data)
    assert mean_difference(row, expected) < 5
    assert (Flag.EXIF_ROTATED in row.flags) == (orientation != 1)


@pytest.mark.parametrize("is_progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_truncated_jpeg_keeps_only_rows_that_are_there(mode: str, is_progressive: bool) -> None:
    whole = encoded(PICTURE.convert(mode), "JPEG", quality=85, progressive=is_progressive)
    intact = pixels_of(decode_image(whole))
    used = 0
    for share in (0.3, 0.6, 0.9, 0.97, 0.985, 0.995, 0.999, 1.0):
        for ending in (b"", b"\xff\xd9"):
            row = decode_image(whole[: int((len(whole) - 2) * share)] + ending)
            if row.reason is Reason.OK:
                used += 1
                assert row.height is not None
                assert row.height >= 0.95 * PICTURE.height
                tolerance = 12 if is_progressive else 3  # the last scan of a progressive file adds one bit
                assert np.abs(pixels_of(row) - intact[: row.height]).mean() < tolerance
            else:
                assert row.reason is Reason.TRUNCATED
                assert share < 1
    assert used >= 2


def test_truncated_png_keeps_only_rows_that_are_there() -> None:
    whole = encoded(PICTURE, "PNG")
    row = decode_image(whole[: int(len(whole) * 0.98)])
    assert row.flags == (Flag.TRUNCATED_TAIL,)
    assert row.height is not None
    assert 0.95 * PICTURE.height <= row.height < PICTURE.height
    assert mean_difference(row, PICTURE.crop((0, 0, PICTURE.width, row.height))) < 5
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_trailing_garbage_is_cut_off() -> None:
    good = encoded(PICTURE, "JPEG")
    assert decode_image(good + b"<!-- end -->").image == good


def test_blur_and_entropy() -> None:
    data = encoded(PICTURE, "JPEG", quality=95)
    luma = simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
    row = decode_image(data)
    laplacian = scipy.ndimage.laplace(luma.astype(np.float64))[1:-1, 1:-1]
    shares = np.bincount(luma.ravel(), minlength=256) / luma.size
    assert row.blur == pytest.approx(laplacian.var(), rel=1e-4)
    assert row.entropy == pytest.approx(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    assert blur_of(np.zeros((1, 9), np.uint8)) == 0.0


def test_two_colours_of_one_luma_are_a_picture() -> None:
    red, blue = Image.new("RGB", (200, 200), (200, 30, 40)), Image.new("RGB", (100, 200), (14, 97, 176))
    red.paste(blue, (0, 0))
    assert decode_image(encoded(red, "PNG")).reason is Reason.OK
    assert decode_image(encoded(Image.new("RGB", (200, 200), (200, 30, 40)), "PNG")).reason is Reason.BLANK


def test_limits() -> None:
    good = encoded(PICTURE, "JPEG")
    digest = decode_image(good).sha256
    assert digest is not None
    for limits, reason in (
        (Limits(max_bytes=1000), Reason.TOO_MANY_BYTES),
        (Limits(max_pixels=1000), Reason.TOO_MANY_PIXELS),
        (Limits(min_side=250), Reason.TOO_SMALL),
        (Limits(placeholders=frozenset({digest})), Reason.PLACEHOLDER),
    ):
        assert decode_image(good, limits).reason is reason
    small = decode_image(good, Limits(max_side=100))
    assert (small.width, small.height, small.flags) == (100, 85, (Flag.DOWNSCALED,))
    assert mean_difference(small, PICTURE.resize((100, 85), Image.Resampling.LANCZOS)) < 4
    skipped = decode_image(b"junk" + good, Limits(skip_leading_garbage=True))
    assert (skipped.image, skipped.flags) == (good, (Flag.LEADING_GARBAGE_SKIPPED,))


def check_row(data: bytes) -> None:
    """One row, whatever the bytes; what is used is canonical: it decodes to itself."""
    row = decode_image(data)
    if row.reason is not Reason.OK:
        assert (row.image, row.width, row.height, row.blur, row.entropy) == (None,) * 5
    else:
        assert row.image is not None
        again = decode_image(row.image, Limits(min_side=1, min_entropy=0))
        assert (again.image, again.width, again.height) == (row.image, row.width, row.height)


@given(st.binary(max_size=300))
@example(b"\xff\xd8\xff")
@example(b"\x89PNG\r\n\x1a\n")
@example(b"RIFF\x00\x00\x00\x00WEBP")
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_one_row(data: bytes) -> None:
    check_row(data)


@given(
    st.sampled_from(sorted(set(BAD_IMAGES) - {"oversized"})),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=4),
    st.floats(0.2, 1.0),
)
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_one_row(name: str, changes: list[tuple[float, bytes]], share: float) -> None:
    data = bytearray(bad(name))
    for place, value in changes:
        start = int(place * len(data))
        data[start : start + len(value)] = value
    check_row(bytes(data[: int(len(data) * share)]))


def test_batches_keep_every_row() -> None:
    rows = [
        {"day": date(2026, 11, 2), "key": name, "reason": "ok", "image": bad(name)}
        for name in ("gray", "html_page", "cmyk")
    ] + [{"day": date(2026, 11, 2), "key": "none", "reason": "missing_image", "image": None}]
    schema = pa.schema([("day", pa.date32()), ("key", pa.string()), ("reason", pa.string()), ("image", pa.binary())])
    (batch,) = decode_batches([pa.RecordBatch.from_pylist(rows, schema)], Limits())
    assert batch.schema.equals(IMAGES.arrow_schema())
    assert batch["key"].to_pylist() == ["gray", "html_page", "cmyk", "none"]
    assert batch["reason"].to_pylist() == ["ok", "html_error_page", "ok", "missing_image"]
    assert batch["flags"].to_pylist()[0] == ["grayscale"]
