"""Views for training: cut-outs and backgrounds drawn once at low resolution, composed and changed on the fly.

>>> pool = ViewPool.drawn(seed=1, products=20, backgrounds=4, size=64, workers=1)
>>> view = pool.scene(np.random.default_rng(0), side=96, things=2)
>>> view.image.size, view.boxes.shape[1]
((96, 96), 4)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFilter

from sample_data.catalogue.backgrounds import Background
from sample_data.catalogue.categories import CATEGORIES
from sample_data.catalogue.categories.other import other
from sample_data.catalogue.products import Product, products
from sample_data.catalogue.scenes import Boxes, Placement, compose
from sample_data.catalogue.transforms import encoded, recoloured

_T = TypeVar("_T")
HARD_WEIGHTS = (0.12, 0.16, 0.24, 0.16, 0.16, 0.16)  # kinds of background in training, in the order of BACKGROUNDS


@dataclass(frozen=True)
class View:
    """A low-resolution picture: RGB image, boxes (N, 4) float32 in pixels, `numbers` of the N products in the pool."""

    image: Image.Image
    boxes: Boxes
    numbers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ViewPool:
    """Things and backgrounds to compose views from; fork after building it, and workers share the memory.

    goods: the products.  cut_outs: RGBA, longer side as asked.  backgrounds: RGB squares, at least twice the cut-outs.
    """

    goods: list[Product]
    cut_outs: list[Image.Image]
    backgrounds: list[Image.Image]

    @classmethod
    def drawn(
        cls, seed: int, products: int, backgrounds: int, size: int = 144, workers: int = 2, others: int = 0
    ) -> ViewPool:
        """Draw a pool: `size` pixels per cut-out (about 14 ms of one core each), 2 * size per background.

        seed: that of the catalogue; another seed has other products.
        others: number of things of no known category beside the products.
        """
        goods = _numbered(seed, products) + _others(seed, products, others)
        rng = np.random.default_rng([seed, 977])
        backdrops = [Background.drawn_by(rng, HARD_WEIGHTS) for _ in range(backgrounds)]
        return cls(
            goods,
            _mapped(partial(_cut_out, size=size), goods, workers),
            _mapped(partial(_backdrop, side=2 * size), backdrops, workers),
        )

    def labels(self, view: View) -> tuple[str, ...]:
        """Category of each thing of a view."""
        return tuple(self.goods[number].category for number in view.numbers)

    def backdrop(self, rng: np.random.Generator, number: int, side: int) -> Image.Image:
        """A random square part of background `number`, mirrored or turned over at random, of `side` pixels."""
        image = self.backgrounds[number % len(self.backgrounds)]
        extent = rng.uniform(0.5, 1.0) * image.width
        x, y = rng.uniform(0, image.width - extent, 2)
        part = image.resize((side, side), Image.Resampling.BILINEAR, (x, y, x + extent, y + extent))
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part

    def thing(self, number: int, hue_shift: float = 0.0) -> Image.Image:
        """Cut-out `number`, its hue turned by `hue_shift` degrees (a recoloured sibling is not a duplicate from 60
        on)."""
        cut_out = self.cut_outs[number]
        return turned_hue(cut_out, hue_shift) if hue_shift else cut_out

    def scene(self, rng: np.random.Generator, side: int, things: int, shop_share: float = 0.5) -> View:
        """`things` products on any background: one as a shop shows it and the others beside it (`shop_share` of all
        scenes), or all of any size anywhere (they may leave the picture)."""
        numbers = rng.integers(0, len(self.goods), things)
        is_shop = rng.random() < shop_share
        placed: list[tuple[Image.Image, Placement]] = []
        for order, number in enumerate(numbers):
            shift = rng.uniform(0, 360) if rng.random() < 0.5 else 0.0
            taken = [placement for _, placement in placed]
            is_main = is_shop and order == 0
            placement = shop_placement(rng) if is_main else _free_placement(rng, things + is_shop, taken)
            placed.append((self.thing(int(number), shift), placement))
        image, boxes = compose(self.backdrop(rng, int(rng.integers(len(self.backgrounds))), side), placed, rng)
        kept = [(int(n), box) for n, box in zip(numbers, boxes, strict=True) if box is not None]
        return View(image, np.array([box for _, box in kept], np.float32).reshape(-1, 4), tuple(n for n, _ in kept))


def _numbered(seed: int, count: int) -> list[Product]:
    return products(seed, count)


def _others(seed: int, after: int, count: int) -> list[Product]:
    """`count` things of no known category, numbered on behind the first `after` products."""
    categories = list(CATEGORIES)
    first = len(categories) * -(-after // len(categories)) + categories.index(other.__name__)
    return [Product.numbered(seed, first + n * len(categories)) for n in range(count)]


def _cut_out(product: Product, size: int) -> Image.Image:
    return product.draw(size)


def _backdrop(background: Background, side: int) -> Image.Image:
    return background.draw(side, side)


def _mapped(function: Callable[[_T], Image.Image], items: Iterable[_T], workers: int) -> list[Image.Image]:
    """The images of `items`, drawn by `workers` processes, in order."""
    if workers <= 1:
        return [function(item) for item in items]
    with get_context("fork").Pool(workers) as pool:
        return pool.map(function, items, chunksize=32)


def turned_hue(cut_out: Image.Image, degrees: float) -> Image.Image:
    """RGBA cut-out with its hue turned."""
    turned = recoloured(cut_out.convert("RGB"), degrees, 1.0)
    turned.putalpha(cut_out.getchannel("A"))
    return turned


def shop_placement(rng: np.random.Generator) -> Placement:
    """One thing as a shop shows it: upright, centred, filling 45-95 % of the picture."""
    return Placement(
        x=rng.uniform(0.42, 0.58), y=rng.uniform(0.42, 0.58), size=rng.uniform(0.45, 0.95), degrees=rng.normal(0, 5),
        is_mirrored=rng.random() < 0.5, stretch=rng.uniform(0.9, 1.1),
        shadow=rng.uniform(0, 1) if rng.random() < 0.6 else 0.0,
    )  # fmt: skip


def wild_placement(rng: np.random.Generator, things: int) -> Placement:
    """One of several `things`: any place, 15-105 % of the side, mostly upright, stretched and leaning."""
    is_single = things == 1
    reach = 0.2 if is_single else 0.42
    largest = 1.05 if is_single else 0.75 if things == 2 else 0.5
    degrees = rng.normal(0, 10) if rng.random() < 0.85 else rng.uniform(0, 360)
    return Placement(
        x=0.5 + rng.uniform(-reach, reach), y=0.5 + rng.uniform(-reach, reach), size=rng.uniform(0.15, largest),
        degrees=degrees,
        is_mirrored=rng.random() < 0.5, stretch=float(np.exp(rng.normal(0, 0.15))), shear=rng.normal(0, 0.1),
        shadow=rng.uniform(0, 1) if rng.random() < 0.6 else 0.0,
    )  # fmt: skip


def _free_placement(rng: np.random.Generator, things: int, taken: list[Placement]) -> Placement:
    """The first of eight random places that hides little of the things before it; the last if none does."""
    for _ in range(8):
        candidate = wild_placement(rng, things)
        if all(_hidden(other, candidate) < 0.3 for other in taken):
            break
    return candidate


def _hidden(below: Placement, above: Placement) -> float:
    """Share of `below` that `above` may cover, taking both for squares of 0.8 times their longer side."""
    reach = 0.4 * (below.size + above.size)
    shared = [
        min(max(reach - abs(a - b), 0.0), 0.8 * min(below.size, above.size))
        for a, b in ((below.x, above.x), (below.y, above.y))
    ]
    return shared[0] * shared[1] / (0.8 * min(below.size, above.size)) ** 2


def photographed(image: Image.Image, rng: np.random.Generator, roughness: float = 1.0) -> Image.Image:
    """Colour, light, blur, noise and compression as cameras and shops leave them; geometry is untouched.

    roughness: how often colour is lost and blur, noise and compression occur; 1 means half of the time.
    """
    image = image.convert("RGB", _colour_matrix(rng))
    if rng.random() < 0.15 * roughness:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.2 * roughness:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.25 * roughness:
        tile = np.asarray(image, np.int16) + rng.integers(-20, 21, (image.height, image.width, 1), dtype=np.int16)
        image = Image.fromarray(tile.clip(0, 255).astype(np.uint8), "RGB")
    if rng.random() < 0.3 * roughness:
        image = Image.open(io.BytesIO(encoded(image, "JPEG", int(rng.integers(20, 80))))).convert("RGB")
    return image


def _colour_matrix(rng: np.random.Generator) -> tuple[float, ...]:
    """Brightness, contrast, saturation, hue and white balance as one 3 x 4 matrix of RGB."""
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    grey = np.full((3, 3), 1.0) * np.array([0.299, 0.587, 0.114])
    matrix = grey + saturation * (np.eye(3) - grey)
    if rng.random() < 0.5:
        matrix = _hue_turn(rng.uniform(-18, 18)) @ matrix
    contrast = rng.uniform(0.6, 1.4) if rng.random() < 0.5 else 1.0
    matrix = np.diag(rng.uniform(0.9, 1.1, 3)) @ matrix * contrast
    lift = 128 * (1 - contrast) + (rng.uniform(-32, 32) if rng.random() < 0.5 else 0.0)
    return tuple(float(v) for v in np.concatenate([matrix, np.full((3, 1), lift)], axis=1).ravel())


def _hue_turn(degrees: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Rotation of RGB about the grey axis (Rodrigues)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = c * np.eye(3) + s * cross + (1 - c) / 3
    return turn
