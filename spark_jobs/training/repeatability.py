"""Measure how alike a detector cuts a picture and its changed copy, on generated scenes, and choose the threshold at
which it does so best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.vision.detection_output import Detections
from dlcore.vision.detection_score import Threshold, TrueObjects, all_kept
from dlcore.vision.detector import FoundObject, Things
from dlcore.vision.pixels import resized
from sample_data.catalogue.transforms import TRANSFORMS, Changed
from sample_data.catalogue.views import ViewPool
from spark_jobs.stages.crop import CropPolicy, choose_crops
from spark_jobs.training.detection_training import COPIED, padded

_CHANGES = ("crop", "border", "banner", "watermark", "rotate", "brightness", "greyscale", "mirror")
_PADDED_SHARE = 0.25
_THRESHOLDS = tuple(n / 20 for n in range(1, 20))
_F1_GIVEN = 0.01  # how much of the best F1 may go for boxes that repeat


@dataclass(frozen=True)
class CopiedScenes:
    """Scenes and a changed copy of each.

    originals, copies: (N, S, S, 3) uint8.
    sizes: width and height of each original before it became square.
    changes: what made the copies.
    """

    originals: NDArray[np.uint8]
    copies: NDArray[np.uint8]
    sizes: list[tuple[int, int]]
    changes: list[Changed]


def copied_scenes(seed: int, count: int, side: int, pool: ViewPool) -> CopiedScenes:
    """`count` scenes of the things in `pool`, and a copy of each that is cut, framed, padded, turned, written on or
    made lighter."""
    rng = np.random.default_rng([seed, 11])
    originals, sizes, changes = [], [], []
    for _ in range(count):
        things = int(rng.choice(len(COPIED.things), p=COPIED.things))
        image = pool.scene(rng, round(side * 1.2), things, COPIED.shop_share).image
        is_padded = rng.random() < _PADDED_SHARE
        changes.append((padded if is_padded else TRANSFORMS[_CHANGES[rng.integers(len(_CHANGES))]])(image, rng))
        originals.append(resized(np.asarray(image), side))
        sizes.append(image.size)
    copies = np.stack([resized(np.asarray(change.image), side) for change in changes])
    return CopiedScenes(np.stack(originals), copies, sizes, changes)


def repeatability(
    originals: Sequence[Things], copies: Sequence[Things], scenes: CopiedScenes, threshold: float
) -> float:
    """Mean overlap (IoU) of the crop of a copy with the crop of its original, transformed by the same change."""
    overlaps = []
    for first, second, size, change in zip(originals, copies, scenes.sizes, scenes.changes, strict=True):
        moved = change.moved(_crop(first, size, threshold))
        overlaps.append(float(iou(moved, _crop(second, change.image.size, threshold))[0, 0]))
    return float(np.mean(overlaps))


def steadiest_threshold(
    found: Sequence[Things],
    truth: Sequence[TrueObjects],
    originals: Sequence[Things],
    copies: Sequence[Things],
    scenes: CopiedScenes,
) -> tuple[Threshold, float]:
    """The threshold at which copies are cut most like their originals, among those that find things as well as any (F1
    within 0.01 of the best), and the repeatability there. Below the threshold, the whole picture is the crop.

    found: detections in the pictures of `truth`. originals, copies: those in `scenes`. All have every guess down to the
        least threshold, 0.05.
    """
    judged = [(value, all_kept([_above(things, value) for things in found], truth)) for value in _THRESHOLDS]
    best = max(score.f1 for _, score in judged)
    good = [
        (repeatability(originals, copies, scenes, value), value, s) for value, s in judged if s.f1 >= best - _F1_GIVEN
    ]
    repeats, value, score = max(good, key=lambda row: row[0])
    return Threshold(value, score.precision, score.recall), repeats


def _above(things: Things, threshold: float) -> Detections:
    kept = things.sureness > threshold
    return Detections(things.labels[kept], things.sureness[kept], things.boxes[kept])


def _crop(things: Things, size: tuple[int, int], threshold: float) -> Array:
    """(1, 4) the crop that the pipeline takes, in pixels of a picture of this width and height."""
    kept = things.sureness > threshold
    rows = zip(things.scores[kept], things.boxes[kept], strict=True)
    objects = [FoundObject("", float(score), *(float(v) for v in box)) for score, box in rows]
    return np.array([choose_crops(objects, *size, CropPolicy())[0][:4]], np.float32)
