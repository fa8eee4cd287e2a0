"""Scenes: products placed on a background, with shadows, and where each of them is.

`compose` puts ready cut-outs on a ready background (training does this at low resolution, hundreds of times a second);
a `Scene` describes a picture of a catalogue and draws it at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter, ImageOps

from sample_data.catalogue.backgrounds import Background
from sample_data.catalogue.products import Product

Boxes = NDArray[np.float32]  # (N, 4): x_min, y_min, x_max, y_max in pixels
_SOLID = [255 if v > 60 else 0 for v in range(256)]  # what counts as the thing when its box is measured


@dataclass(frozen=True)
class Placement:
    """Where and how a cut-out stands.

    x, y: its centre as a share of the width and height.  size: its longer side as a share of the shorter image side.
    degrees: rotation.  stretch: width over height, times what it was.  shear: sideways lean.  shadow: 0-1.
    """

    x: float = 0.5
    y: float = 0.5
    size: float = 0.7
    degrees: float = 0.0
    is_mirrored: bool = False
    stretch: float = 1.0
    shear: float = 0.0
    shadow: float = 0.5
    hue_shift: float = 0.0


def posed(cut_out: Image.Image, longest: float, placement: Placement) -> Image.Image:
    """The cut-out at `longest` pixels, stretched, sheared, turned and mirrored, trimmed to what is not transparent."""
    scale = longest / max(cut_out.size)
    factor = int(1 / scale) if scale <= 0.5 else 1
    source = cut_out.reduce(factor) if factor > 1 else cut_out
    scale *= cut_out.width / source.width
    source = ImageOps.expand(source, 2)  # so that straight sides are smooth when they are turned
    c, s = np.cos(np.radians(placement.degrees)), np.sin(np.radians(placement.degrees))
    flip = -1.0 if placement.is_mirrored else 1.0
    root = np.sqrt(placement.stretch)
    matrix = np.array([[c, -s], [s, c]]) @ np.array([[flip * root, placement.shear], [0, 1 / root]]) * scale
    half = np.abs(matrix) @ (np.array(source.size) / 2)
    size = (int(2 * half[0]) + 2, int(2 * half[1]) + 2)
    back = np.linalg.inv(matrix)
    offset = np.array(source.size) / 2 - back @ (np.array(size) / 2)
    moved = source.transform(
        size,
        Image.Transform.AFFINE,
        (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1]),
        Image.Resampling.BILINEAR,
    )
    box = moved.getchannel("A").getbbox()
    return moved.crop(box) if box else moved


def _cast_shadow(
    image: Image.Image, alpha: Image.Image, corner: tuple[int, int], strength: float, rng: np.random.Generator
) -> None:
    """A soft shadow beside and below the thing, blurred on a small copy."""
    width, height = alpha.size
    pad = max(width, height) // 4
    small = alpha.resize((max(width // 8, 2), max(height // 8, 2)), Image.Resampling.BILINEAR)
    canvas = Image.new("L", (small.width + pad // 4, small.height + pad // 4))
    canvas.paste(small, (pad // 8, pad // 8))
    blurred = canvas.filter(ImageFilter.GaussianBlur(max(small.size) * rng.uniform(0.02, 0.08)))
    full = blurred.resize((canvas.width * 8, canvas.height * 8), Image.Resampling.BILINEAR).point(
        [round(v * 0.75 * strength) for v in range(256)]
    )
    drift = rng.uniform(-0.06, 0.06) * width, rng.uniform(0.0, 0.08) * height
    image.paste(
        (12, 10, 14), (round(corner[0] - pad // 8 * 8 + drift[0]), round(corner[1] - pad // 8 * 8 + drift[1])), full
    )


def place(
    image: Image.Image, cut_out: Image.Image, placement: Placement, rng: np.random.Generator
) -> tuple[float, float, float, float] | None:
    """Paint one cut-out on `image` in place; return the box of its visible part in pixels, None if it lies outside."""
    thing = posed(cut_out, placement.size * min(image.size), placement)
    corner = round(placement.x * image.width - thing.width / 2), round(placement.y * image.height - thing.height / 2)
    alpha = thing.getchannel("A")
    if placement.shadow > 0:
        _cast_shadow(image, alpha, corner, placement.shadow, rng)
    image.paste(thing, corner, thing)
    inner = alpha.point(_SOLID).getbbox() or (0, 0, *thing.size)
    box = np.array([corner[0] + inner[0], corner[1] + inner[1], corner[0] + inner[2], corner[1] + inner[3]], np.float64)
    limits = np.clip(box, 0, [image.width, image.height] * 2)
    if limits[2] - limits[0] < 2 or limits[3] - limits[1] < 2:
        return None
    return float(limits[0]), float(limits[1]), float(limits[2]), float(limits[3])


def compose(
    background: Image.Image, things: Sequence[tuple[Image.Image, Placement]], rng: np.random.Generator
) -> tuple[Image.Image, list[tuple[float, float, float, float] | None]]:
    """Cut-outs in order (later ones in front) on a copy of `background` -> (RGB image, one box or None per thing)."""
    image = background.copy()
    return image, [place(image, cut_out, placement, rng) for cut_out, placement in things]


@dataclass(frozen=True)
class Picture:
    """A drawn scene: RGB image, boxes (N, 4) float32 in pixels, labels and skus of the N things; the first is its
    subject."""

    image: Image.Image
    boxes: Boxes
    labels: tuple[str, ...]
    skus: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A picture that can be drawn again: size in pixels, background, products and their placements, seed of shadows and
    grain."""

    width: int
    height: int
    background: Background
    things: tuple[tuple[Product, Placement], ...]
    seed: int

    def draw(self) -> Picture:
        """The picture at full size, the same bytes every time."""
        rng = np.random.default_rng(self.seed)
        shorter = min(self.width, self.height)
        cut_outs = [
            (product.draw(max(round(place_.size * shorter), 24), place_.hue_shift), place_)
            for product, place_ in reversed(self.things)
        ]
        image, boxes = compose(self.background.draw(self.width, self.height), cut_outs, rng)
        seen = [
            (product, box) for (product, _), box in zip(self.things, reversed(boxes), strict=True) if box is not None
        ]
        return Picture(
            _exposed(image, rng),
            np.array([box for _, box in seen], np.float32).reshape(-1, 4),
            tuple(product.category for product, _ in seen),
            tuple(product.sku for product, _ in seen),
        )

    def before(self, background: Background) -> Scene:
        """The same things in the same places on another background."""
        return replace(self, background=background)


def _exposed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Sensor grain on a third of the pictures."""
    if rng.random() > 0.35:
        return image
    return ImageChops.add(image, _grain(image.size, rng), 1, -16)


def _grain(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    tile = rng.normal(16, rng.uniform(1, 5), (128, 128, 3)).clip(0, 32).astype(np.uint8)
    repeated = np.tile(tile, (size[1] // 128 + 1, size[0] // 128 + 1, 1))[: size[1], : size[0]]
    return Image.fromarray(np.ascontiguousarray(repeated), "RGB")


def draw_scene(product: Product, rng: np.random.Generator, companions: Sequence[Product] = ()) -> Scene:
    """A random scene about `product`: near the middle and large; `companions` smaller, mostly beside it."""
    width, height = int(rng.integers(400, 1001)), int(rng.integers(400, 1001))
    height = int(np.clip(height, width * 0.66, width * 1.5))
    is_crowded = len(companions) > 0
    size = rng.uniform(0.42, 0.56) if is_crowded else rng.uniform(0.5, 0.92)
    middle = Placement(
        float(rng.uniform(0.44, 0.56)), float(rng.uniform(0.44, 0.56)), float(size), float(rng.normal(0, 4)),
        bool(rng.random() < 0.5),
        shadow=float(rng.uniform(0.2, 1)) if rng.random() < 0.7 else 0.0,
    )  # fmt: skip
    things = [(product, middle)]
    for companion in companions:
        place_ = _beside(rng, middle, [placed for _, placed in things])
        if place_ is not None:
            things.append((companion, place_))
    return Scene(width, height, Background.drawn_by(rng), tuple(things), int(rng.integers(2**31)))


def _beside(rng: np.random.Generator, middle: Placement, taken: Sequence[Placement]) -> Placement | None:
    """A free place for a smaller thing beside the main one, wholly in the picture; None if twenty tries find none.

    Things count as squares of their longer side; the main thing's is a little smaller, since it seldom fills its own.
    """
    for _ in range(20):
        size = float(rng.uniform(0.24, 0.36))
        x, y = (float(v) for v in rng.uniform(size / 2, 1 - size / 2, 2))
        reach = [(size + (0.75 if other is middle else 1.0) * other.size) / 2 for other in taken]
        if all(max(abs(x - other.x), abs(y - other.y)) > gap for other, gap in zip(taken, reach, strict=True)):
            turned, is_mirrored = float(rng.normal(0, 8)), bool(rng.random() < 0.5)
            return replace(middle, x=x, y=y, size=size, degrees=turned, is_mirrored=is_mirrored)
    return None
