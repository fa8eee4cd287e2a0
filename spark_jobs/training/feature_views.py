"""Training pictures for the codes: families of look-alikes, each seen in several near-duplicate views.

A family is a product before a backdrop, its recoloured sibling, and another product in the same place before the same
backdrop: three different articles that resemble each other in all but what matters. Every article is seen in `VIEWS`
views: one as its shop shows it, the others after the changes that pictures undergo between shops. All are cut out as a
detector would cut them, a little beside the true box, or are whole. Views are (side, side, 3) uint8.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlcore.vision.pixels import Pixels
from sample_data.catalogue.scenes import Placement, compose
from sample_data.catalogue.transforms import TRANSFORMS, Changed
from sample_data.catalogue.views import ViewPool, photographed, shop_placement, turned_hue

ARTICLES = 3
"""Articles of a family."""
VIEWS = 2
"""Views of an article in a batch."""
COLOURLESS = "greyscale"
_SCENE_SIDE = 112
_MARGIN = 0.08
_PIXELS_ONLY = ("jpeg_quality", "watermark", "brightness", "tint")
_MOVING = ("resize", "crop", "border", "banner", "rotate", "mirror")

Box = NDArray[np.float32]


@dataclass(frozen=True)
class Article:
    """A picture of one article that can be composed again: its cut-out, its place, and what is behind and beside it."""

    cut_out: Image.Image
    placement: Placement
    backdrop: Image.Image
    companions: tuple[tuple[Image.Image, Placement], ...] = ()
    has_twin: bool = False
    is_whole: bool = False

    def drawn(self, rng: np.random.Generator, backdrop: Image.Image | None = None) -> tuple[Image.Image, Box]:
        """The picture, before another backdrop if one is given, and the (1, 4) box of the article in pixels."""
        things = [*self.companions, (self.cut_out, self.placement)]
        image, boxes = compose(backdrop or self.backdrop, things, rng)
        return image, np.array([boxes[-1] or (0, 0, *image.size)], np.float32)


def family(pool: ViewPool, rng: np.random.Generator) -> list[Article]:
    """Three articles that resemble each other: a product, its recoloured sibling, another product on the same backdrop.

    Where a hue shift would hardly show on the product, a third product takes the sibling's place.
    """
    number = int(rng.integers(len(pool.goods)))
    backdrop = _backdrop(pool, rng)
    is_whole = bool(rng.random() < 0.1)
    first = Article(_thing(pool, rng, number), shop_placement(rng), backdrop, _companions(pool, rng), is_whole=is_whole)
    other = replace(first, cut_out=_thing(pool, rng, _another(pool, rng, number)), companions=())
    if rng.random() < 0.4 or not _is_colourful(first.cut_out):
        third = replace(first, cut_out=_thing(pool, rng, _another(pool, rng, number)), placement=shop_placement(rng))
        return [first, third, other]
    first = replace(first, has_twin=True)
    twin = replace(first, cut_out=turned_hue(first.cut_out, rng.uniform(60, 300)))
    if rng.random() < 0.3:
        twin = replace(twin, backdrop=_backdrop(pool, rng), placement=shop_placement(rng))
    return [first, twin, other]


def views_of(
    article: Article, pool: ViewPool, rng: np.random.Generator, side: int, background_swaps: float
) -> list[Pixels]:
    """`VIEWS` views of an article: the first as it is, the others changed, a share `background_swaps` of them on
    another backdrop."""
    plain, box = article.drawn(rng)
    if rng.random() < 0.4:
        plain = photographed_colourful(plain, rng)
    views = [cut(plain, box, rng, side, article.is_whole)]
    for _ in range(VIEWS - 1):
        image, moved = plain, box
        if rng.random() < background_swaps:
            image, moved = article.drawn(rng, _backdrop(pool, rng))
        for name in drawn_changes(rng, has_twin=article.has_twin):
            changed = TRANSFORMS[name](image, rng)
            image, moved = stored(changed), changed.moved(moved)
        views.append(cut(image, moved, rng, side, article.is_whole))
    return views


def batch(
    pool: ViewPool, rng: np.random.Generator, families: int, side: int, background_swaps: float = 0.4
) -> tuple[Pixels, NDArray[np.int64]]:
    """Views of `families` families -> pixels (families * ARTICLES * VIEWS, side, side, 3) and the article (N,) each
    view shows.

    The views of an article follow each other.
    """
    articles = [article for _ in range(families) for article in family(pool, rng)]
    views = [view for article in articles for view in views_of(article, pool, rng, side, background_swaps)]
    return np.stack(views), np.repeat(np.arange(len(articles)), VIEWS)


def cut(image: Image.Image, box: Box, rng: np.random.Generator, side: int, is_whole: bool) -> Pixels:
    """The article as the crop stage gives it: its box (1, 4) is off by a few percent and widened by a margin; sometimes
    the picture stays whole."""
    if is_whole or rng.random() < 0.05:
        bounds = (0.0, 0.0, float(image.width), float(image.height))
    else:
        x_min, y_min, x_max, y_max = (float(v) for v in box[0])
        off = (rng.normal(0, 0.04, 4) + _MARGIN) * max(x_max - x_min, y_max - y_min, 8.0)
        bounds = (
            max(x_min - off[0], 0.0),
            max(y_min - off[1], 0.0),
            min(x_max + off[2], float(image.width)),
            min(y_max + off[3], float(image.height)),
        )
        if bounds[2] - bounds[0] < 8 or bounds[3] - bounds[1] < 8:
            bounds = (0.0, 0.0, float(image.width), float(image.height))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, bounds))


def photographed_colourful(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Camera and shop effects on a picture; it keeps its colours where the effect would remove them."""
    changed = photographed(image, rng)
    return image if saturation(changed) < 0.5 * saturation(image) else changed


def drawn_changes(rng: np.random.Generator, has_twin: bool) -> list[str]:
    """Names of one to three transforms; no greyscale if a twin differs by colour alone."""
    names = [*_PIXELS_ONLY, *_MOVING, *_MOVING, *(() if has_twin else (COLOURLESS, COLOURLESS))]
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
    return [str(name) for name in rng.choice(names, count, replace=False)]


def stored(changed: Changed) -> Image.Image:
    """The picture as it is read back; at this size only low qualities leave a trace, softened as on a large picture."""
    if changed.file_format == "PNG" or changed.quality > 80:
        return changed.image
    buffer = io.BytesIO()
    changed.image.save(buffer, changed.file_format, quality=min(changed.quality + 20, 95))
    return Image.open(buffer).convert("RGB")


def _backdrop(pool: ViewPool, rng: np.random.Generator) -> Image.Image:
    return pool.backdrop(rng, int(rng.integers(len(pool.backgrounds))), _SCENE_SIDE)


def _thing(pool: ViewPool, rng: np.random.Generator, number: int) -> Image.Image:
    """A cut-out, half of the time in another random colour, so that there are more articles than products in the pool;
    sometimes a poster."""
    if rng.random() < 0.1:
        return _poster(pool, rng)
    return turned_hue(pool.cut_outs[number], rng.uniform(0, 360)) if rng.random() < 0.5 else pool.cut_outs[number]


def _poster(pool: ViewPool, rng: np.random.Generator) -> Image.Image:
    """A rectangle of artwork: a part of a backdrop, usually with a product on it."""
    picture = _backdrop(pool, rng)
    if rng.random() < 0.6:
        thing = pool.cut_outs[int(rng.integers(len(pool.cut_outs)))]
        picture, _ = compose(picture, [(thing, replace(shop_placement(rng), size=rng.uniform(0.3, 0.7)))], rng)
    width, height = (int(v) for v in rng.uniform(0.5, 1.0, 2) * _SCENE_SIDE)
    return picture.crop((0, 0, width, height)).convert("RGBA")


def _another(pool: ViewPool, rng: np.random.Generator, number: int) -> int:
    """Another product, half of the time of the same category (in a pool, categories take turns)."""
    categories = len({product.category for product in pool.goods[:100]})
    if rng.random() < 0.5:
        return (number + categories * int(rng.integers(1, max(len(pool.goods) // categories, 2)))) % len(pool.goods)
    return int((number + rng.integers(1, len(pool.goods))) % len(pool.goods))


def _companions(pool: ViewPool, rng: np.random.Generator) -> tuple[tuple[Image.Image, Placement], ...]:
    """Small things at the edge of one picture in five."""
    if rng.random() > 0.2:
        return ()
    angle = rng.uniform(0, 2 * np.pi)
    place = replace(
        shop_placement(rng), x=0.5 + 0.42 * np.cos(angle), y=0.5 + 0.42 * np.sin(angle), size=rng.uniform(0.15, 0.3)
    )
    return ((_thing(pool, rng, int(rng.integers(len(pool.goods)))), place),)


def saturation(image: Image.Image) -> float:
    """Mean chroma, 0 to 255: the spread of the three channels."""
    small = np.asarray(image.convert("RGB").resize((24, 24), Image.Resampling.BOX), np.float32)
    return float((small.max(2) - small.min(2)).mean())


def _is_colourful(cut_out: Image.Image) -> bool:
    """Whether a hue shift would show on the thing itself."""
    small = np.asarray(cut_out.resize((24, 24), Image.Resampling.BOX), np.float32)
    inside = small[..., 3] > 128
    colour = small[..., :3].max(2) - small[..., :3].min(2)
    return bool(inside.any() and colour[inside].mean() > 40)
