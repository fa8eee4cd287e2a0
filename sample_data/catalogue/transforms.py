"""What happens to a picture between two shops: each transform makes a near-duplicate and says where the points have
moved.

Every transform is a function (RGB image, rng) -> Changed. `background` swaps need the scene, so they are made by
drawing the scene again (`Scene.before`) and are not in the table. Ranges are those of the catalogue's definition: hue
within 10 degrees, saturation within 20 %.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from sample_data.catalogue.lettering import typeface, word

BACKGROUND_SWAP = "background_swap"
_STAY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Changed:
    """A transformed picture.

    matrix: (a, b, c, d, e, f): the point (x, y) went to (a x + b y + c, d x + e y + f), in pixels.
    file_format, quality: how to save it (JPEG, PNG or WEBP).
    """

    image: Image.Image
    matrix: tuple[float, float, float, float, float, float] = _STAY
    file_format: str = "JPEG"
    quality: int = 92

    def moved(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (N, 4) of the old picture as upright boxes in the new one, clipped to it."""
        a, b, c, d, e, f = self.matrix
        x, y = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
        new_x, new_y = a * x + b * y + c, d * x + e * y + f
        limits = np.array([*self.image.size, *self.image.size], np.float32)
        corners = np.stack([new_x.min(1), new_y.min(1), new_x.max(1), new_y.max(1)], axis=1)
        clipped: NDArray[np.float32] = np.clip(corners, 0, limits).astype(np.float32)
        return clipped


def encoded(image: Image.Image, file_format: str = "JPEG", quality: int = 92) -> bytes:
    """The picture as file bytes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=quality) if file_format != "PNG" else image.save(
        buffer, "PNG", compress_level=3
    )
    return buffer.getvalue()


def jpeg_quality(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Saved at quality 15-50."""
    return Changed(image, quality=int(rng.integers(15, 51)))


def resize(image: Image.Image, rng: np.random.Generator) -> Changed:
    """40-150 % of the size, sometimes with another aspect by up to 6 %."""
    x = rng.uniform(0.4, 0.8) if rng.random() < 0.7 else rng.uniform(1.2, 1.5)
    y = x * rng.uniform(0.94, 1.06) if rng.random() < 0.4 else x
    size = max(round(image.width * x), 8), max(round(image.height * y), 8)
    return Changed(
        image.resize(size, Image.Resampling.BICUBIC), (size[0] / image.width, 0, 0, 0, size[1] / image.height, 0)
    )


def crop(image: Image.Image, rng: np.random.Generator) -> Changed:
    """3-12 % cut off each side."""
    left, top, right, bottom = rng.uniform(0.03, 0.12, 4) * [image.width, image.height, image.width, image.height]
    box = int(left), int(top), image.width - int(right), image.height - int(bottom)
    return Changed(image.crop(box), (1, 0, -box[0], 0, 1, -box[1]))


def border(image: Image.Image, rng: np.random.Generator) -> Changed:
    """A frame of 3-12 % in one colour."""
    x, y = (int(v) for v in rng.uniform(0.03, 0.12, 2) * image.size)
    colour = (255, 255, 255) if rng.random() < 0.4 else tuple(int(v) for v in rng.integers(0, 256, 3))
    framed = Image.new("RGB", (image.width + 2 * x, image.height + 2 * y), colour)
    framed.paste(image, (x, y))
    return Changed(framed, (1, 0, x, 0, 1, y))


def watermark(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Pale words across the picture, once or repeated."""
    layer = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(layer)
    size = max(int(min(image.size) * rng.uniform(0.06, 0.14)), 6)
    text, font = f"{word(rng)}.{word(rng).lower()}", typeface(int(rng.integers(99)), size)
    rows = int(rng.integers(1, 5))
    for row in range(rows):
        draw.text(
            (image.width * rng.uniform(0.3, 0.7), image.height * (row + 0.5) / rows),
            text,
            fill=int(rng.uniform(60, 140)),
            font=font,
            anchor="mm",
        )
    turned = layer.rotate(rng.uniform(-35, 35), Image.Resampling.BILINEAR)
    marked = image.copy()
    marked.paste((255, 255, 255) if rng.random() < 0.7 else (20, 20, 20), mask=turned)
    return Changed(marked)


def banner(image: Image.Image, rng: np.random.Generator) -> Changed:
    """A coloured strip with words along the top or the bottom, 8-16 % of the height."""
    height = max(int(image.height * rng.uniform(0.08, 0.16)), 6)
    top = 0 if rng.random() < 0.5 else image.height - height
    covered = image.copy()
    draw = ImageDraw.Draw(covered)
    colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    draw.rectangle((0, top, image.width, top + height), fill=colour)
    ink = (255, 255, 255) if sum(colour) < 380 else (20, 20, 20)
    draw.text(
        (image.width / 2, top + height / 2),
        f"{word(rng)} {word(rng)}",
        fill=ink,
        font=typeface(int(rng.integers(99)), max(int(height * 0.6), 5)),
        anchor="mm",
    )
    return Changed(covered)


def brightness(image: Image.Image, rng: np.random.Generator) -> Changed:
    """70-130 % of the brightness, 80-120 % of the contrast."""
    factor = rng.uniform(0.7, 0.88) if rng.random() < 0.5 else rng.uniform(1.12, 1.3)
    return Changed(ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(factor)).enhance(rng.uniform(0.8, 1.2)))


def tint(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Hue turned by up to 10 degrees and saturation changed by up to 20 %."""
    hue, saturation = rng.uniform(-10, 10), rng.uniform(0.8, 1.2)
    return Changed(recoloured(image, hue, saturation))


def recoloured(image: Image.Image, hue: float, saturation: float) -> Image.Image:
    """RGB image with its hue turned by `hue` degrees and its saturation multiplied, in HSV."""
    h, s, v = image.convert("HSV").split()
    shift = round(hue / 360 * 256)
    h = h.point([(value + shift) % 256 for value in range(256)])
    s = s.point([min(round(value * saturation), 255) for value in range(256)])
    return Image.merge("HSV", (h, s, v)).convert("RGB")


def greyscale(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Without colour."""
    return Changed(image.convert("L").convert("RGB"))


def rotate(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Turned by 2-6 degrees, corners filled with one colour."""
    degrees = rng.uniform(2, 6) * rng.choice([-1, 1])
    fill = (255, 255, 255) if rng.random() < 0.5 else image.getpixel((0, 0))
    return turned(image, degrees, fill)


def turned(image: Image.Image, degrees: float, fill: Any) -> Changed:
    """Turned around its middle, clockwise; the corners are filled with a colour."""
    c, s = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    x, y = image.width / 2, image.height / 2
    rotated = image.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=fill)
    return Changed(rotated, (c, -s, x - c * x + s * y, s, c, y - s * x - c * y))


def mirror(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Left and right exchanged."""
    return Changed(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (-1, 0, image.width, 0, 1, 0))


def to_png(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Encoded again as PNG after a JPEG at quality 60-85."""
    lossy = Image.open(io.BytesIO(encoded(image, "JPEG", int(rng.integers(60, 86))))).convert("RGB")
    return Changed(lossy, file_format="PNG")


def to_webp(image: Image.Image, rng: np.random.Generator) -> Changed:
    """Encoded again as WebP at quality 40-80."""
    return Changed(image, file_format="WEBP", quality=int(rng.integers(40, 81)))


Transform = Callable[[Image.Image, np.random.Generator], Changed]
TRANSFORMS: dict[str, Transform] = {
    f.__name__: f
    for f in (
        jpeg_quality,
        resize,
        crop,
        border,
        watermark,
        banner,
        brightness,
        tint,
        greyscale,
        rotate,
        mirror,
        to_png,
        to_webp,
    )
}
ALL_TRANSFORMS: tuple[str, ...] = (*TRANSFORMS, BACKGROUND_SWAP)
