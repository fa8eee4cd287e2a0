"""Whole pictures to train a code layer on, each article in several views beside its look-alike; a published network's
features of them are computed once.

The pictures are drawn, or those of a shop's own folder; both are changed in the same ways, and nobody labels them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlcore.activity import Array
from dlcore.vision.pixels import Pixels, resized
from sample_data.catalogue.backgrounds import Background
from sample_data.catalogue.planting import plan_catalogue
from sample_data.catalogue.scenes import Scene
from sample_data.catalogue.transforms import TRANSFORMS, recoloured
from spark_jobs.stages.decode import decode_image, read_pixels
from spark_jobs.training.feature_views import drawn_changes, photographed_colourful, saturation, stored

VIEWS = 5
"""Views of an article; its look-alike has two."""
_DRAWN_SIDE = 320
"""Pictures are changed at this size at most, in pixels."""
_FIRST_DAY = date(2026, 1, 1)
_LEAST_COLOUR = 20.0
_AT_ONCE = 16


Summary = Callable[[Pixels], Array]
"""A network's pooled features of RGB pictures: (N, S, S, 3) -> (N, D)."""


class Source(Protocol):
    """A picture that views are made of."""

    def picture(self, rng: np.random.Generator, is_swapped: bool) -> Image.Image | None:
        """The picture, before another backdrop where that is possible; None if it cannot be used."""


@dataclass(frozen=True)
class Generated:
    """A drawn picture."""

    scene: Scene

    def picture(self, rng: np.random.Generator, is_swapped: bool) -> Image.Image | None:
        """The scene, drawn."""
        scene = self.scene.before(Background.drawn_by(rng)) if is_swapped else self.scene
        return scene.draw().image


@dataclass(frozen=True)
class OfShop:
    """A file of a shop's own pictures."""

    path: Path

    def picture(self, rng: np.random.Generator, is_swapped: bool) -> Image.Image | None:
        """The picture as the pipeline decodes it."""
        row = decode_image(self.path.read_bytes())
        return None if row.image is None else Image.fromarray(read_pixels(row.image))


@dataclass(frozen=True)
class PooledViews:
    """A network's features of views: features (N, D), and the article (N,) and the source (N,) of each view.

    A look-alike is an article of its own, of the same source.
    """

    features: Array
    articles: NDArray[np.int64]
    sources: NDArray[np.int64]

    def of(self, sources: NDArray[np.integer]) -> PooledViews:
        """The views of some sources."""
        kept = np.isin(self.sources, sources)
        return PooledViews(self.features[kept], self.articles[kept], self.sources[kept])


def joined_views(first: PooledViews, second: PooledViews) -> PooledViews:
    """The views of both; they have no source in common."""
    return PooledViews(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.articles, second.articles + first.articles.max(initial=-1) + 1]),
        np.concatenate([first.sources, second.sources + first.sources.max(initial=-1) + 1]),
    )


def generated_sources(seed: int, count: int) -> list[Source]:
    """About `count` different drawn pictures of the catalogue with `seed`."""
    days = [_FIRST_DAY + timedelta(days=number) for number in range(3)]
    entries = plan_catalogue(seed, days, max(round(count / 0.6 / len(days)), 40)).entries
    originals = [entry for entry in entries if entry.bad is None and entry.transform is None]
    return [Generated(entry.scene) for entry in originals[:count]]


def sources_in(folder: Path) -> list[OfShop]:
    """The files of a folder and its subfolders, in the order of their names.

    Raises:
        ValueError: there is none.
    """
    files = [OfShop(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise ValueError(f"got no file in {folder}, expected the pictures of a shop")
    return files


def views_of(numbered: tuple[int, Source], seed: int, side: int, swaps: float) -> tuple[list[Pixels], list[bool]]:
    """Views (side, side, 3) of a source's picture, and which of them show the look-alike: the picture in another
    colour.

    The first is the picture as it is; a share `swaps` of the others has another backdrop. A file that is not a picture
    gives no views.
    """
    number, source = numbered
    rng = np.random.default_rng([seed, number])
    plain = _small(source.picture(rng, False))
    if plain is None:
        return [], []
    has_twin = saturation(plain) > _LEAST_COLOUR
    views = [plain]
    for _ in range(VIEWS - 1):
        base = _small(source.picture(rng, True)) if rng.random() < swaps else plain
        views.append(_changed(base or plain, rng, has_twin))
    if has_twin:
        twin = recoloured(plain, float(rng.uniform(60, 300)), 1.0)
        views += [twin, _changed(twin, rng, has_twin)]
    pixels = [resized(np.asarray(view), side) for view in views]
    return pixels, [place >= VIEWS for place in range(len(views))]


def pooled_views(
    sources: Sequence[Source], summary: Summary, seed: int, side: int, swaps: float, workers: int
) -> PooledViews:
    """The network's features of all views of the sources; about 0.3 s of one core each."""
    features, articles, places = [], [], []
    draw = partial(views_of, seed=seed, side=side, swaps=swaps)
    with get_context("fork").Pool(workers) as pool:
        drawn = enumerate(pool.imap(draw, enumerate(sources), chunksize=4))
        while made := [(place, *views) for place, views in islice(drawn, _AT_ONCE)]:
            pixels = [view for _, views, _ in made for view in views]
            if not pixels:
                continue
            features.append(summary(np.stack(pixels)))
            articles += [2 * place + is_twin for place, _, twins in made for is_twin in twins]
            places += [place for place, views, _ in made for _ in views]
    if not features:
        raise ValueError(f"got {len(sources)} files but no picture among them, expected pictures")
    return PooledViews(np.concatenate(features), np.array(articles, np.int64), np.array(places, np.int64))


def _small(image: Image.Image | None) -> Image.Image | None:
    if image is not None:
        image.thumbnail((_DRAWN_SIDE, _DRAWN_SIDE))
    return image


def _changed(image: Image.Image, rng: np.random.Generator, has_twin: bool) -> Image.Image:
    """The picture after one to three changes, sometimes also with the effects of a camera."""
    changed = photographed_colourful(image, rng) if rng.random() < 0.4 else image
    for name in drawn_changes(rng, has_twin=has_twin):
        changed = stored(TRANSFORMS[name](changed, rng))
    return changed
