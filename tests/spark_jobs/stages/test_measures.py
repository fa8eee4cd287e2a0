"""Blur, and what is blank: one colour is, the thinnest drawing of an article is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages.decode import decode_image, read_pixels
from spark_jobs.stages.measures import strokes_of
from tests.spark_jobs.stages.picture_files import encoded

SIZES = (200, 600, 1600)


def drawing(side: int, ground: str, ink: str) -> Image.Image:
    """One line from corner to corner, a pixel wide."""
    picture = Image.new("RGB", (side, side), ground)
    ImageDraw.Draw(picture).line((0, 0, side - 1, side - 1), fill=ink)
    return picture


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("black", "white"), ("#c81e28", "#0e61b0")])
def test_one_line_is_a_picture_at_any_size(side: int, ground: str, ink: str) -> None:
    assert decode_image(encoded(drawing(side, ground, ink), "PNG")).reason is Reason.OK


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("quality", [5, 90])
def test_one_colour_with_dust_is_blank(side: int, quality: int) -> None:
    picture = Image.new("RGB", (side, side), (236, 233, 228))
    for x, y in np.random.default_rng(side).integers(0, side, (side // 20, 2)):
        picture.putpixel((int(x), int(y)), (0, 0, 0))
    assert decode_image(encoded(picture, "PNG")).reason is Reason.BLANK
    gradient = Image.fromarray(np.full((side, side), 240, np.uint8))
    assert decode_image(encoded(gradient, "JPEG", quality=quality)).reason is Reason.BLANK


def test_strokes_by_hand() -> None:
    samples = np.full((50, 100), 200, np.uint8)
    samples[10, :40] = 100
    samples[20, :40] = 180  # too near the ground
    assert strokes_of(Image.fromarray(samples)) == pytest.approx(0.4)


@pytest.mark.parametrize("colour", ["white", (250, 250, 252)])
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_white_article_is_seen_on_gray(file_format: str, colour: str) -> None:
    article = Image.new("RGBA", (300, 200), (255, 255, 255, 0))
    ImageDraw.Draw(article).ellipse((60, 40, 240, 160), fill=colour)
    options = {"lossless": True} if file_format == "WEBP" else {}
    row = decode_image(encoded(article, file_format, **options))
    assert (row.reason, set(row.flags)) == (Reason.OK, {Flag.ALPHA, Flag.GRAY_GROUND})
    assert row.image is not None
    pixels = read_pixels(row.image).astype(int)
    inside = np.asarray(article.getchannel("A")) == 255
    assert np.abs(pixels[~inside] - 128).mean() < 3
    assert pixels[inside].mean() > 245


def test_nothing_with_or_without_an_outline_is_blank() -> None:
    for alpha in (0, 255, 100):
        row = decode_image(encoded(Image.new("RGBA", (300, 200), (255, 255, 255, alpha)), "PNG"))
        assert row.reason is Reason.BLANK
    faint = Image.new("RGBA", (300, 200), (255, 255, 255, 0))
    ImageDraw.Draw(faint).ellipse((60, 40, 240, 160), fill=(255, 255, 255, 9))
    assert decode_image(encoded(faint, "PNG")).reason is Reason.BLANK
