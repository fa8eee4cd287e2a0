"""Backgrounds of product pictures: plain, gradient, textured, a surface before a wall, clutter out of focus.

>>> Background("gradient", (1, 2)).draw(64, 48).size
(64, 48)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sample_data.catalogue import outlines as o
from sample_data.catalogue.palette import rgb
from sample_data.catalogue.textures import FIELDS, Colour, coloured, noise


def _colour(rng: np.random.Generator) -> Colour:
    """White, grey, pastel, deep or loud, as backdrops are."""
    kind, hue = rng.random(), rng.uniform(0, 360)
    if kind < 0.3:
        return rgb(hue, rng.uniform(0, 0.04), rng.uniform(0.9, 1.0))
    if kind < 0.5:
        return rgb(hue, rng.uniform(0, 0.1), rng.uniform(0.1, 0.9))
    if kind < 0.75:
        return rgb(hue, rng.uniform(0.08, 0.35), rng.uniform(0.75, 1.0))
    return rgb(hue, rng.uniform(0.3, 1.0), rng.uniform(0.15, 0.95))


def _near(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    moved = np.clip(np.array(colour) + rng.normal(0, spread, 3) + rng.normal(0, spread), 0, 255)
    return int(moved[0]), int(moved[1]), int(moved[2])


def plain(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """One colour; half of them white."""
    return Image.new("RGB", (width, height), (255, 255, 255) if rng.random() < 0.5 else _colour(rng))


def gradient(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Two or three colours, straight or round."""
    first = _colour(rng)
    colours = [
        first,
        *(_colour(rng) if rng.random() < 0.4 else _near(rng, first, 40) for _ in range(rng.integers(1, 3))),
    ]
    x, y = np.linspace(-1, 1, 64)[None, :], np.linspace(-1, 1, 64)[:, None]
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        field_ = (x * np.cos(angle) + y * np.sin(angle)) / 2.8 + 0.5
    else:
        field_ = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5)) / 1.9
    small = Image.fromarray((np.clip(field_, 0, 1) * 255).astype(np.uint8), "L")
    return coloured(small.resize((width, height), Image.Resampling.BICUBIC), colours)


def textured(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Cloth, wood, stone, tiles, paper: one field, strong or faint."""
    name = str(rng.choice(list(FIELDS)))
    zoom = rng.uniform(0.5, 1.0)
    texture = FIELDS[name](rng, max(int(width * zoom), 8), max(int(height * zoom), 8)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    first = _colour(rng)
    is_faint = rng.random() < 0.6
    colours = [first, *(_near(rng, first, 14) if is_faint else _colour(rng) for _ in range(rng.integers(1, 4)))]
    return coloured(texture, colours)


def surface(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A wall above a table or floor, each plain, shaded or textured."""
    horizon = int(height * rng.uniform(0.4, 0.8))
    kinds = (plain, gradient, gradient, textured)
    image = kinds[rng.integers(4)](rng, width, height)
    floor = kinds[rng.integers(4)](rng, width, height - horizon)
    image.paste(floor, (0, horizon))
    if rng.random() < 0.6:
        ImageDraw.Draw(image).rectangle((0, horizon, width, horizon + int(rng.integers(1, 5))), fill=_colour(rng))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 4) * width / 400)) if rng.random() < 0.7 else image


def clutter(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Many things out of focus: discs, bars, blobs and print over another background."""
    image = (gradient, textured, surface)[rng.integers(3)](rng, width, height)
    draw = ImageDraw.Draw(image, "RGBA")
    longest = max(width, height)
    for _ in range(rng.integers(6, 30)):
        size = longest * rng.uniform(0.02, 0.25)
        outline = (
            o.superellipse(0, 0, 1, rng.uniform(0.2, 1), rng.uniform(1, 8)),
            o.star(0, 0, 1, rng.uniform(0.3, 0.9), rng.integers(3, 8)),
        )[rng.integers(2)]
        turned = o.turned(outline, rng.uniform(0, 360)) * size + rng.uniform(0, 1, 2) * [width, height]
        draw.polygon([tuple(p) for p in turned], fill=(*_colour(rng), int(rng.uniform(60, 255))))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(2.0, 9.0) * longest / 400))


def cloudy(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Soft noise of its own in each channel, as photographs of foliage, cloth and sky have."""
    channels = [
        noise(rng, max(width // 2, 8), max(height // 2, 8), int(rng.integers(2, 6)), int(rng.integers(2, 7)))
        for _ in range(3)
    ]
    mixed = Image.merge("RGB", channels).resize((width, height), Image.Resampling.BILINEAR)
    tint = Image.new("RGB", (width, height), _colour(rng))
    return Image.blend(mixed, tint, rng.uniform(0.2, 0.85))


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int], Image.Image]] = {
    f.__name__: f for f in (plain, gradient, textured, surface, clutter, cloudy)
}
SHOP_WEIGHTS = (0.34, 0.2, 0.14, 0.14, 0.1, 0.08)  # how often each kind stands behind a catalogue's product


@dataclass(frozen=True)
class Background:
    """A backdrop that can be drawn again, at any size.   kind: key of BACKGROUNDS."""

    kind: str
    seed: tuple[int, ...] = field(repr=False)

    @classmethod
    def drawn_by(cls, rng: np.random.Generator, weights: tuple[float, ...] = SHOP_WEIGHTS) -> Background:
        """A random kind (by `weights`, in the order of BACKGROUNDS) and seed."""
        kind = str(rng.choice(list(BACKGROUNDS), p=np.array(weights) / sum(weights)))
        return cls(kind, (int(rng.integers(2**31)), int(rng.integers(2**31))))

    def draw(self, width: int, height: int) -> Image.Image:
        """RGB image of this size."""
        return BACKGROUNDS[self.kind](np.random.default_rng(self.seed), width, height)
