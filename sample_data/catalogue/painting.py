"""Painting a drawing: colour or pattern, light and shade, ink lines and print, part over part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sample_data.catalogue.lettering import printed
from sample_data.catalogue.palette import Palette
from sample_data.catalogue.part import Drawing, Part


@dataclass(frozen=True)
class Style:
    """How a product is rendered: strength of shading and highlight (0-1), width of ink lines (share of the size),
    roughness (0-1)."""

    shading: float
    highlight: float
    ink: float
    roughness: float


def draw_style(rng: np.random.Generator) -> Style:
    """Flat pictogram, ink drawing or lit object."""
    is_flat = rng.random() < 0.15
    shading = 0.0 if is_flat else rng.uniform(0.3, 1.0)
    highlight = 0.0 if is_flat else rng.uniform(0.0, 0.9)
    ink = rng.uniform(0.004, 0.014) if rng.random() < 0.2 else 0.0
    return Style(shading, highlight, ink, rng.uniform(0.1, 0.35) if rng.random() < 0.35 else 0.0)


def paint(
    drawing: Drawing, size: int, palette: Palette, pattern: Image.Image | None, style: Style, rng: np.random.Generator
) -> Image.Image:
    """`drawing`, scaled so that its longer side is `size` pixels, as RGBA without antialiasing (draw large, then
    reduce)."""
    drawing = scaled(drawing, size)
    corner = np.max([part.outline.max(axis=0) for part in drawing], axis=0)
    canvas = Image.new("RGBA", (int(corner[0]) + 1, int(corner[1]) + 1), (0, 0, 0, 0))
    if pattern is not None:
        pattern = pattern.resize(canvas.size, Image.Resampling.BILINEAR)
    for part in drawing:
        _paint_part(canvas, part, palette, pattern, style, rng)
    return canvas


def scaled(drawing: Drawing, size: int) -> Drawing:
    """The same drawing with its corner at (0, 0) and its longer side `size`."""
    low = np.min([part.outline.min(axis=0) for part in drawing], axis=0)
    high = np.max([part.outline.max(axis=0) for part in drawing], axis=0)
    scale = (size - 1) / max(float((high - low).max()), 1e-6)
    return [replace(part, outline=(part.outline - low) * scale) for part in drawing]


def roughen(image: Image.Image, speckle: Image.Image, amount: float) -> Image.Image:
    """RGBA `image` darkened by an `L` field of the same size, alpha kept."""
    darker = speckle.point([255 - round(v * amount) for v in range(256)])
    rgb = ImageChops.multiply(image.convert("RGB"), Image.merge("RGB", (darker,) * 3))
    rgb.putalpha(image.getchannel("A"))
    return rgb


def _paint_part(
    canvas: Image.Image,
    part: Part,
    palette: Palette,
    pattern: Image.Image | None,
    style: Style,
    rng: np.random.Generator,
) -> None:
    low, high = part.outline.min(axis=0), part.outline.max(axis=0)
    box = (
        max(int(low[0]), 0),
        max(int(low[1]), 0),
        min(int(high[0]) + 2, canvas.width),
        min(int(high[1]) + 2, canvas.height),
    )
    size = (box[2] - box[0], box[3] - box[1])
    if min(size) < 1:
        return
    mask = Image.new("L", size, 0)
    points = [(float(x) - box[0], float(y) - box[1]) for x, y in part.outline]
    ImageDraw.Draw(mask).polygon(points, fill=round(255 * part.opacity))
    colour = palette.roles[part.paint]
    fill = Image.new("RGB", size, colour) if not part.has_pattern or pattern is None else pattern.crop(box)
    if part.label and min(size) > 16:
        ink = palette.roles["dark"] if sum(colour) > 330 else palette.roles["light"]
        layer = printed(rng, size[0], size[1], ink)
        fill.paste(layer, mask=layer)
    _light(fill, mask, part.shade, style)
    if style.ink > 0:
        width = max(1, round(style.ink * max(canvas.size)))
        ImageDraw.Draw(fill).line([*points, points[0]], fill=(24, 22, 26), width=width * 2)
    fill.putalpha(mask)
    canvas.alpha_composite(fill, box[:2])


def _light(fill: Image.Image, mask: Image.Image, shade: str, style: Style) -> None:
    """Darken and lighten `fill` in place as `shade` and `style` say."""
    if style.shading <= 0 or shade == "flat":
        return
    dark, light = _bevel(mask) if shade == "bevel" else _MAPS[shade]()
    for field, colour, strength in ((dark, (10, 8, 16), style.shading), (light, (255, 255, 250), style.highlight)):
        table = [round(v * strength) for v in range(256)]
        fill.paste(colour, mask=field.point(table).resize(fill.size, Image.Resampling.BILINEAR))


def _bytes_image(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8), "L")


@cache
def _cylinder() -> tuple[Image.Image, Image.Image]:
    x = np.linspace(-1, 1, 64)[None, :]
    return _bytes_image(0.75 * np.abs(x - 0.15) ** 2.6), _bytes_image(0.75 * np.exp(-(((x + 0.45) / 0.14) ** 2)))


@cache
def _sphere() -> tuple[Image.Image, Image.Image]:
    x, y = np.linspace(-1, 1, 64)[None, :], np.linspace(-1, 1, 64)[:, None]
    away = np.sqrt((x + 0.3) ** 2 + (y + 0.35) ** 2)
    return _bytes_image(0.62 * np.clip(away - 0.4, 0, 2) ** 1.5), _bytes_image(0.9 * np.exp(-((away / 0.24) ** 2)))


@cache
def _fade() -> tuple[Image.Image, Image.Image]:
    y = np.linspace(0, 1, 64)[:, None]
    return _bytes_image(0.55 * y), _bytes_image(0.4 * (1 - y) ** 3)


_MAPS = {"cylinder": _cylinder, "sphere": _sphere, "fade": _fade}


def _bevel(mask: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Edges towards the upper left catch the light, the others are in shade; worked out on a small copy of the mask."""
    longest = max(mask.size)
    small = mask.resize(
        (max(2, 72 * mask.width // longest), max(2, 72 * mask.height // longest)), Image.Resampling.BILINEAR
    )
    padded = Image.new("L", (small.width + 12, small.height + 12))
    padded.paste(small, (6, 6))
    height = np.asarray(padded.filter(ImageFilter.GaussianBlur(3)), np.float64) / 255
    slope = (np.roll(height, -2, (0, 1)) - np.roll(height, 2, (0, 1)))[6:-6, 6:-6]
    down = np.linspace(0, 0.18, small.height)[:, None]
    return _bytes_image(0.8 * np.clip(-slope, 0, 1) + down), _bytes_image(0.7 * np.clip(slope, 0, 1))
