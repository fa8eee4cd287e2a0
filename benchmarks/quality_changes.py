"""What people do to pictures on their way from shop to shop, for `quality_sets.py`: stronger, and of other code than
what the product trains and calibrates with."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from sample_data.catalogue.lettering import typeface, word

Changed = tuple[Image.Image, NDArray[np.float64]]
"""A changed picture, and the affine matrix (2, 3) that took its points there."""
Change = Callable[[Image.Image, np.random.Generator], Changed]
STAY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def _jpeg(quality: int) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Changed:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB"), STAY

    return change


def _scaled(x: float, y: float) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Changed:
        size = max(round(image.width * x), 16), max(round(image.height * y), 16)
        return image.resize(size, Image.Resampling.LANCZOS), np.diag(
            [size[0] / image.width, size[1] / image.height, 1]
        )[:2]

    return change


def _cut(share: float) -> Change:
    """`share` of the width and of the height goes, from whichever sides."""

    def change(image: Image.Image, rng: np.random.Generator) -> Changed:
        x, y = (round(float(v)) for v in rng.uniform(0, share, 2) * image.size)
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        return image.crop((x, y, x + width, y + height)), np.array([[1.0, 0, -x], [0, 1.0, -y]])

    return change


def _framed(x: float, y: float, fill: Callable[[np.random.Generator], tuple[int, ...]]) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Changed:
        left, top = round(image.width * x), round(image.height * y)
        return ImageOps.expand(image, (left, top), fill(rng)), np.array([[1.0, 0, left], [0, 1.0, top]])

    return change


def _white(rng: np.random.Generator) -> tuple[int, ...]:
    return (255, 255, 255)


def _black(rng: np.random.Generator) -> tuple[int, ...]:
    return (0, 0, 0)


def any_colour(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def _turned(degrees: float) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Changed:
        angle = degrees * float(rng.choice([-1, 1]))
        turned = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
        c, s = float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))
        x, y = image.width / 2, image.height / 2
        return turned, np.array([[c, s, x - c * x - s * y], [-s, c, y + s * x - c * y]])

    return change


def _mirror(image: Image.Image, rng: np.random.Generator) -> Changed:
    return ImageOps.mirror(image), np.array([[-1.0, 0, image.width], [0, 1.0, 0]])


def _pixels(function: Callable[[Image.Image, np.random.Generator], Image.Image]) -> Change:
    """A change that moves nothing."""
    return lambda image, rng: (function(image, rng), STAY)


def _noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    noisy = np.asarray(image, np.float32) + rng.normal(0, deviation, (*image.size[::-1], 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _gamma(image: Image.Image, power: float) -> Image.Image:
    return image.point([round(255 * (v / 255) ** power) for v in range(256)] * 3)


def _sepia(image: Image.Image) -> Image.Image:
    return ImageOps.colorize(image.convert("L"), (40, 20, 0), (255, 240, 200)).convert("RGB")


def _text(image: Image.Image, rng: np.random.Generator, size: float) -> Image.Image:
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    font = typeface(int(rng.integers(99)), max(int(size * min(image.size)), 8))
    place = rng.uniform(0.25, 0.75) * image.width, rng.uniform(0.1, 0.9) * image.height
    draw.text(place, f"{word(rng)} {word(rng)}", fill=any_colour(rng), font=font, anchor="mm")
    return marked


def _price_tag(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    marked = image.copy()
    draw, side = ImageDraw.Draw(marked), 0.26 * min(image.size)
    x, y = (float(rng.choice([0.0, v - side])) for v in image.size)
    draw.ellipse((x, y, x + side, y + side), fill=(225, 30, 40))
    font = ImageFont.load_default(side * 0.3)
    draw.text(
        (x + side / 2, y + side / 2), f"-{int(rng.integers(1, 9))}0%", fill=(255, 255, 255), font=font, anchor="mm"
    )
    return marked


def _tiled_words(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    layer = Image.new("L", (2 * image.width, 2 * image.height), 0)
    draw, font = ImageDraw.Draw(layer), typeface(int(rng.integers(99)), max(image.width // 14, 8))
    text = f"{word(rng)} shop"
    for y in range(0, layer.height, max(image.height // 5, 10)):
        for x in range(0, layer.width, max(image.width // 2, 10)):
            draw.text((x, y), text, fill=90, font=font)
    x, y = image.width // 2, image.height // 2
    mask = layer.rotate(25).crop((x, y, x + image.width, y + image.height))
    marked = image.copy()
    marked.paste((255, 255, 255), mask=mask)
    return marked


def _vignette(image: Image.Image) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    shade = 1 - 0.5 * np.clip(np.hypot(x, y) - 0.4, 0, 1)
    return Image.fromarray((np.asarray(image, np.float32) * shade[..., None]).astype(np.uint8))


def _then(*changes: Change) -> Change:
    def change(image: Image.Image, rng: np.random.Generator) -> Changed:
        matrix = np.eye(3)
        for one in changes:
            image, step = one(image, rng)
            matrix = np.vstack([step, [0, 0, 1]]) @ matrix
        return image, matrix[:2]

    return change


NEW_BACKDROP = "new backdrop"
CHANGES: dict[str, tuple[str, Change]] = {
    "jpeg 60": ("easy", _jpeg(60)),
    "half the size": ("easy", _scaled(0.5, 0.5)),
    "larger": ("easy", _scaled(1.4, 1.4)),
    "brighter": ("easy", _pixels(lambda i, r: ImageEnhance.Brightness(i).enhance(1.2))),
    "darker": ("easy", _pixels(lambda i, r: ImageEnhance.Brightness(i).enhance(0.75))),
    "sharpened": ("easy", _pixels(lambda i, r: ImageEnhance.Sharpness(i).enhance(3))),
    "less colour": ("easy", _pixels(lambda i, r: ImageEnhance.Color(i).enhance(0.7))),
    "crop 5 %": ("easy", _cut(0.05)),
    "thin frame": ("easy", _framed(0.03, 0.03, any_colour)),
    "small text": ("easy", _pixels(lambda i, r: _text(i, r, 0.06))),
    "jpeg 15": ("medium", _jpeg(15)),
    "a quarter of the size": ("medium", _scaled(0.25, 0.25)),
    "squeezed": ("medium", _scaled(0.85, 1.0)),
    "blurred": ("medium", _pixels(lambda i, r: i.filter(ImageFilter.GaussianBlur(min(i.size) / 120)))),
    "noise": ("medium", _pixels(lambda i, r: _noise(i, 16, r))),
    "mirrored": ("medium", _mirror),
    "greyscale": ("medium", _pixels(lambda i, r: i.convert("L").convert("RGB"))),
    "sepia": ("medium", _pixels(lambda i, r: _sepia(i))),
    "gamma": ("medium", _pixels(lambda i, r: _gamma(i, float(r.choice([0.6, 1.6]))))),
    "vignette": ("medium", _pixels(lambda i, r: _vignette(i))),
    "turned 3 degrees": ("medium", _turned(3)),
    "crop 12 %": ("medium", _cut(0.12)),
    "watermark": ("medium", _pixels(_tiled_words)),
    "price tag": ("medium", _pixels(_price_tag)),
    "large text": ("medium", _pixels(lambda i, r: _text(i, r, 0.14))),
    "crop 20 %": ("hard", _cut(0.2)),
    "padded": ("hard", _framed(0.25, 0.25, _white)),
    "letterbox": ("hard", _framed(0.0, 0.25, _black)),
    "contrast": ("hard", _pixels(lambda i, r: ImageEnhance.Contrast(i).enhance(float(r.choice([0.5, 1.8]))))),
    "turned 10 degrees": ("hard", _turned(10)),
    "grey with noise": ("hard", _pixels(lambda i, r: _noise(i.convert("L").convert("RGB"), 20, r))),
    "three at once": ("hard", _then(_mirror, _cut(0.1), _pixels(lambda i, r: _text(i, r, 0.1)), _jpeg(30))),
    NEW_BACKDROP: ("hard", lambda image, rng: (image, STAY)),
}
"""By name: how hard it is, and the change. A new backdrop is drawn before the change, which then does nothing."""


def moved(
    box: Sequence[float], matrix: NDArray[np.float64], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    corners = np.array([(box[x], box[y], 1.0) for x in (0, 2) for y in (1, 3)]) @ matrix.T
    low, high = np.clip(corners.min(0), 0, size), np.clip(corners.max(0), 0, size)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
