"""Pictures to train and judge a detector on: generated scenes, changed on the fly, and catalogues it has never seen.

Order of the changes as in SSD (Liu et al. 2016, section 2.2): a part of the scene is cut out and keeps the things whose
centres are in it; then light, colour, noise and compression change. Things that are hidden or cut to a sliver do not
count as truth.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dlcore.activity import Array
from dlcore.vision.detection_score import TrueObjects
from dlcore.vision.pixels import resized
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.categories import CATEGORIES
from sample_data.catalogue.demo import draw_entry
from sample_data.catalogue.planting import Entry, plan_catalogue
from sample_data.catalogue.scenes import Boxes
from sample_data.catalogue.transforms import TRANSFORMS, Changed
from sample_data.catalogue.views import View, ViewPool, photographed

CLASSES = ("background", *CATEGORIES)
"""Labels of the detector by index."""

_CHANGES = ("border", "banner", "watermark", "rotate", "brightness", "resize")
_LEAST_SHARE = 0.3  # of a thing that must be left after cutting


@dataclass(frozen=True)
class Difficulty:
    """things: how often a scene has 0, 1, 2 ... things. shop_share: share of scenes about one large thing in the
    middle. cut_share: share of scenes that are cut to less than their size. change_share: share of scenes that get a
    frame, a banner, a watermark ...  roughness: see `photographed`.  padded_share: share of scenes that get wide
    margins of one colour."""

    things: tuple[float, ...]
    shop_share: float
    cut_share: float = 0.5
    change_share: float = 0.3
    roughness: float = 1.0
    padded_share: float = 0.0


EASY = Difficulty((0.02, 0.78, 0.2), 1.0)
"""Scenes for small pictures, in which small things could not be told apart."""

HARD = Difficulty((0.03, 0.42, 0.23, 0.14, 0.09, 0.05, 0.04), 0.5)

SHOP = Difficulty((0.02, 0.56, 0.2, 0.12, 0.06, 0.04), 0.7, 0.3, 0.3, 0.5)
"""Scenes nearer to the pictures of a catalogue; labels are learnt from these."""

COPIED = Difficulty((0.02, 0.68, 0.16, 0.09, 0.05), 0.75, 0.4, 0.4, 0.8, 0.15)
"""Pictures of shops and what becomes of them on the way to others: cut, framed, padded, written on, turned, made
rough."""


@dataclass(frozen=True)
class Sample:
    """pixels: (S, S, 3) uint8 RGB.  target: (M, 5) float32: label, x_min, y_min, x_max, y_max as fractions."""

    pixels: NDArray[np.uint8]
    target: Array


def draw_sample(pool: ViewPool, rng: np.random.Generator, side: int, difficulty: Difficulty = HARD) -> Sample:
    """A scene from `pool`, changed at random, at `side` pixels."""
    things = int(rng.choice(len(difficulty.things), p=difficulty.things))
    view = pool.scene(rng, round(side * 1.2), things, difficulty.shop_share)
    labels = np.array([CLASSES.index(label) for label in pool.labels(view)], np.float32)
    image, boxes, kept = _cut(view, rng, difficulty.cut_share)
    labels = labels[kept]
    if rng.random() < difficulty.change_share:
        changed = TRANSFORMS[_CHANGES[rng.integers(len(_CHANGES))]](image, rng)
        image, boxes = changed.image, changed.moved(boxes)
    if difficulty.padded_share and rng.random() < difficulty.padded_share:
        changed = padded(image, rng)
        image, boxes = changed.image, changed.moved(boxes)
    fractions = np.clip(boxes / np.array([*image.size, *image.size], np.float32), 0, 1)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    wide = (fractions[:, 2:] - fractions[:, :2]).min(axis=1, initial=1.0) > 0.02
    target = np.concatenate([labels[wide, None], fractions[wide]], axis=1)
    return Sample(np.asarray(photographed(image, rng, difficulty.roughness)), target.astype(np.float32))


def _cut(view: View, rng: np.random.Generator, cut_share: float) -> tuple[Image.Image, Boxes, NDArray[np.bool_]]:
    """A part of the view with any aspect between 1:1.6 and 1.6:1, the boxes inside it, and which things are still
    there."""
    image = view.image
    aspect, extent = np.exp(rng.uniform(-0.45, 0.45)), rng.uniform(0.6, 1.0) if rng.random() < cut_share else 1.0
    width, height = np.minimum(np.array([aspect**0.5, aspect**-0.5]) * extent, 1.0) * image.width
    x, y = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    part = np.array([x, y, x + width, y + height])
    cut = np.concatenate([np.maximum(view.boxes[:, :2], part[:2]), np.minimum(view.boxes[:, 2:], part[2:])], axis=1)
    left = np.prod(np.maximum(cut[:, 2:] - cut[:, :2], 0), axis=1)
    kept = left > _LEAST_SHARE * np.prod(view.boxes[:, 2:] - view.boxes[:, :2], axis=1)
    moved = (cut[kept] - [x, y, x, y]).astype(np.float32)
    return image.crop((round(x), round(y), round(x + width), round(y + height))), moved, kept


def padded(image: Image.Image, rng: np.random.Generator) -> Changed:
    """The picture with margins of one colour on two or four sides, each up to three tenths of its side."""
    sides = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))[rng.integers(3)]
    x, y = (round(float(v)) for v in rng.uniform(0.05, 0.3) * np.array(sides) * image.size)
    colour = ((255, 255, 255), (0, 0, 0), tuple(int(v) for v in rng.integers(0, 256, 3)))[rng.integers(3)]
    return Changed(ImageOps.expand(image, (x, y), colour), (1, 0, x, 0, 1, y))


def training_batch(
    pool: ViewPool, rng: np.random.Generator, count: int, preprocessing: Preprocessing, difficulty: Difficulty = HARD
) -> tuple[Array, list[Array]]:
    """`count` new samples: inputs (N, 3, S, S) and a target (M, 5) for each, as MultiBoxLoss takes them."""
    samples = [draw_sample(pool, rng, preprocessing.size, difficulty) for _ in range(count)]
    return preprocessing.normalise(np.stack([sample.pixels for sample in samples])), [
        sample.target for sample in samples
    ]


@dataclass(frozen=True)
class TestSet:
    """Pictures to judge by: pixels (N, S, S, 3) uint8, and what each shows, boxes as fractions."""

    pixels: NDArray[np.uint8]
    truth: list[TrueObjects]

    def at(self, side: int) -> TestSet:
        """The same pictures at `side` pixels."""
        return TestSet(np.stack([resized(pixels, side) for pixels in self.pixels]), self.truth)

    def batches(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """The pixels in batches of at most `size`."""
        for start in range(0, len(self.pixels), size):
            yield self.pixels[start : start + size]


def _judged_entry(entry: Entry, side: int) -> tuple[NDArray[np.uint8], TrueObjects]:
    file = draw_entry(entry)
    pixels = np.asarray(Image.open(io.BytesIO(file.data)).convert("RGB"))
    labels = np.array([CLASSES.index(label) for label in file.labels], np.int64)
    return resized(pixels, side), TrueObjects(labels, file.boxes)


def catalogue_test_set(seed: int, count: int, side: int, workers: int = 2) -> TestSet:
    """About `count` pictures of the catalogue with `seed`, encoded and decoded as in the pipeline (about 60 ms of one
    core each).

    Raises:
        ValueError: `count` is too small for a catalogue.
    """
    entries = [entry for entry in plan_catalogue(seed, [date(2026, 1, 1)], count).entries if entry.bad is None]
    with get_context("fork").Pool(workers) as pool:
        rows = pool.map(partial(_judged_entry, side=side), entries, chunksize=4)
    return TestSet(np.stack([pixels for pixels, _ in rows]), [truth for _, truth in rows])


def scene_test_set(seed: int, count: int, side: int, pool: ViewPool) -> TestSet:
    """`count` hard scenes of several things, made as in training but from another catalogue's `pool`."""
    rng = np.random.default_rng([seed, 5])
    samples = [draw_sample(pool, rng, side) for _ in range(count)]
    return TestSet(np.stack([sample.pixels for sample in samples]), [_truth(sample.target) for sample in samples])


def _truth(target: Array) -> TrueObjects:
    return TrueObjects(target[:, 0].astype(np.int64), target[:, 1:])
