"""Colours of other profiles come out as sRGB; expected values by the matrices of the colour spaces, not by
littleCMS."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from data_contracts.reasons import Flag, Reason
from sample_data.catalogue.bad_images import DISPLAY_P3, colour_profile
from spark_jobs.stages.decode import decode_image
from tests.spark_jobs.stages.picture_files import PICTURE, encoded, mean_difference

# XYZ of sRGB's primaries as columns, adapted to D50 (IEC 61966-2-1)
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
GAMMA = 2.2
TRUE_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FORMATS: list[tuple[str, dict[str, object]]] = [
    ("JPEG", {"quality": 97, "subsampling": 0}),
    ("JPEG", {"quality": 97, "subsampling": 0, "progressive": True}),
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("AVIF", {"quality": 97, "subsampling": "4:4:4"}),
]


def scene() -> NDArray[np.float64]:
    """Linear colours inside sRGB, in blocks (128, 128, 3)."""
    colours = np.random.default_rng(3).random((8, 8, 3)) * 0.9 + 0.05
    return np.kron(colours, np.ones((16, 16, 1)))


def stored(linear: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(np.clip(linear, 0, 1) ** (1 / GAMMA) * 255).astype(np.uint8)


def expected() -> NDArray[np.uint8]:
    linear = scene()
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(curve * 255).astype(np.uint8)


@pytest.mark.parametrize(("file_format", "options"), FORMATS)
def test_wide_colours_become_srgb(file_format: str, options: dict[str, object]) -> None:
    pixels = stored(scene() @ (np.linalg.inv(DISPLAY_P3) @ SRGB).T)
    data = encoded(Image.fromarray(pixels), file_format, icc_profile=colour_profile(DISPLAY_P3), **options)
    row = decode_image(data)
    assert row.flags == (Flag.COLOUR_PROFILE,)
    assert mean_difference(row, expected()) < 3
    plain = decode_image(encoded(Image.fromarray(pixels), file_format, **options))
    assert mean_difference(plain, expected()) > 6


def test_transparency_and_palette_have_profiles_too() -> None:
    pixels = stored(scene() @ (np.linalg.inv(DISPLAY_P3) @ SRGB).T)
    profile = colour_profile(DISPLAY_P3)
    for mode, flags in (("RGBA", {Flag.ALPHA}), ("P", {Flag.PALETTE})):
        picture = Image.fromarray(pixels).convert(mode) if mode == "RGBA" else Image.fromarray(pixels).quantize(256)
        wanted = expected()
        if mode == "RGBA":
            picture.paste((200, 0, 0, 0), (0, 0, 128, 32))
            wanted[:32] = 255
        row = decode_image(encoded(picture, "PNG", icc_profile=profile))
        assert set(row.flags) == {*flags, Flag.COLOUR_PROFILE}
        assert mean_difference(row, wanted) < 3


def test_profile_that_is_srgb_keeps_the_bytes() -> None:
    for mode in ("RGB", "L"):
        data = encoded(PICTURE.convert(mode), "JPEG", icc_profile=TRUE_SRGB)
        row = decode_image(data)
        assert (row.image, Flag.COLOUR_PROFILE in row.flags) == (data, False)


def test_gray_profile() -> None:
    """A gray of gamma 1.0: linear samples."""
    linear = np.kron(np.linspace(0.02, 0.98, 64).reshape(8, 8), np.ones((16, 16)))
    samples = np.rint(linear * 255).astype(np.uint8)
    profile = colour_profile(None, gamma=1.0)
    curve = np.rint((1.055 * (samples / 255) ** (1 / 2.4) - 0.055).clip(0) * 255).astype(np.uint8)
    for file_format in ("JPEG", "PNG"):
        row = decode_image(encoded(Image.fromarray(samples), file_format, icc_profile=profile))
        assert set(row.flags) == {Flag.GRAYSCALE, Flag.COLOUR_PROFILE}
        assert mean_difference(row, np.repeat(curve[..., None], 3, -1)) < 4
    mismatched = decode_image(encoded(PICTURE, "PNG", icc_profile=profile))
    assert (mismatched.reason, mismatched.flags) == (Reason.OK, (Flag.PROFILE_IGNORED,))


@pytest.mark.parametrize("profile", [b"rubbish" * 40, TRUE_SRGB[:300], TRUE_SRGB[:16] + b"Lab " + TRUE_SRGB[20:]])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_unusable_profile_is_ignored_with_a_flag(profile: bytes, file_format: str) -> None:
    row = decode_image(encoded(PICTURE, file_format, icc_profile=profile))
    assert (row.reason, row.flags) == (Reason.OK, (Flag.PROFILE_IGNORED,))
