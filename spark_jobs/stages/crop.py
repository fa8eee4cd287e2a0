"""Choose the part of an image that is coded, by the crop policy, and cut it out.

The policy ranks objects by score, size and nearness to the middle, since shops put what they sell there. A margin is
left around an object. Without a suitable object, the crop is the whole image, or there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from data_contracts.crops import CROPS
from data_contracts.reasons import Reason
from dlcore.search.signatures import luminance_hash
from dlcore.vision.detector import FoundObject
from spark_jobs.stages.decode import read_pixels

DETECTION, WHOLE_IMAGE = "detection", "whole_image"
JPEG_QUALITY = 95
_HASH_SIDE = 96


@dataclass(frozen=True)
class CropPolicy:
    """How crops are chosen.

    margin: around an object, as a share of its longer side. least_score: that of an object to be cropped. least_area:
        that of its box, as a share of the image. most: crops per image, at least 1.
    fall_back: whether an image without such an object is used whole.
    """

    margin: float = 0.08
    least_score: float = 0.0
    least_area: float = 0.01
    most: int = 1
    fall_back: bool = True

    def __post_init__(self) -> None:
        if self.most < 1 or not 0 <= self.margin <= 1:
            raise ValueError(
                f"got most={self.most}, margin={self.margin}, expected most >= 1 and a margin between 0 and 1"
            )


class Crop(NamedTuple):
    """A part of an image in pixels, upper ends exclusive; label and score are None for the whole image."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int
    source: str
    label: str | None = None
    score: float | None = None


def worth(thing: FoundObject) -> float:
    """How likely the object is the picture's subject: score x square root of its area x nearness to the middle (1
    there, 0.3 in a corner)."""
    area = max(thing.x_max - thing.x_min, 0) * max(thing.y_max - thing.y_min, 0)
    off_x, off_y = (thing.x_min + thing.x_max) / 2 - 0.5, (thing.y_min + thing.y_max) / 2 - 0.5
    return thing.score * math.sqrt(area) * (1 - 1.4 * min(math.hypot(off_x, off_y), 0.5))


def choose_crops(objects: Sequence[FoundObject], width: int, height: int, policy: CropPolicy) -> list[Crop]:
    """The crops of an image of `width` x `height` pixels, the worthiest first; empty when nothing qualifies and the
    policy does not fall back to the whole image.

    >>> thing = FoundObject("mug", 0.9, 0.25, 0.25, 0.75, 0.75)
    >>> choose_crops([thing], 100, 100, CropPolicy(margin=0.1))
    [Crop(x_min=20, y_min=20, x_max=80, y_max=80, source='detection', label='mug', score=0.9)]
    >>> choose_crops([], 100, 80, CropPolicy())
    [Crop(x_min=0, y_min=0, x_max=100, y_max=80, source='whole_image', label=None, score=None)]
    """
    fit = [thing for thing in objects if thing.score >= policy.least_score and _area(thing) >= policy.least_area]
    best = sorted(fit, key=worth, reverse=True)[: policy.most]
    if best:
        return [_around(thing, width, height, policy.margin) for thing in best]
    return [Crop(0, 0, width, height, WHOLE_IMAGE)] if policy.fall_back else []


def _area(thing: FoundObject) -> float:
    return (thing.x_max - thing.x_min) * (thing.y_max - thing.y_min)


def _around(thing: FoundObject, width: int, height: int, margin: float) -> Crop:
    """The object's box with its margin, cut at the image's edges, at least one pixel wide and high."""
    x_min, x_max, y_min, y_max = thing.x_min * width, thing.x_max * width, thing.y_min * height, thing.y_max * height
    pad = margin * max(x_max - x_min, y_max - y_min)
    left, top = (
        min(max(int(v), 0), limit - 1) for v, limit in ((x_min - pad + 0.5, width), (y_min - pad + 0.5, height))
    )
    right, bottom = (min(int(v), limit) for v, limit in ((x_max + pad + 0.5, width), (y_max + pad + 0.5, height)))
    return Crop(left, top, max(right, left + 1), max(bottom, top + 1), DETECTION, thing.label, thing.score)


def cut(pixels: NDArray[np.uint8], crop: Crop) -> bytes:
    """The crop of (H, W, 3) pixels as a JPEG file."""
    part = np.ascontiguousarray(pixels[crop.y_min : crop.y_max, crop.x_min : crop.x_max])
    return bytes(simplejpeg.encode_jpeg(part, JPEG_QUALITY, "RGB", "444"))


def crop_batches(batches: Iterable[pa.RecordBatch], policy: CropPolicy) -> Iterator[pa.RecordBatch]:
    """Rows of images with their objects (day, key, reason, image, objects) -> rows of `crops`, at least one for each
    image."""
    for batch in batches:
        rows = [row for source in batch.to_pylist() for row in crop_row(source, policy)]
        yield pa.RecordBatch.from_pylist(rows, schema=CROPS.arrow_schema())


def crop_row(row: dict[str, Any], policy: CropPolicy) -> list[dict[str, Any]]:
    """The rows of `crops` for one image; one row without a payload if the image is not used or has no object."""
    address = {"day": row["day"], "key": row["key"], "crop": 0, "reason": row["reason"]}
    if row["reason"] != Reason.OK:
        return [address]
    pixels = read_pixels(row["image"])
    objects = [FoundObject(**thing) for thing in row["objects"] or ()]
    crops = choose_crops(objects, pixels.shape[1], pixels.shape[0], policy)
    if not crops:
        return [{**address, "reason": Reason.NO_OBJECT.value}]
    shared = {**address, "whole_hash": whole_hash(pixels)}
    return [
        {**shared, "crop": number, "image": _image(row, pixels, crop), **crop._asdict()}
        for number, crop in enumerate(crops)
    ]


def whole_hash(pixels: NDArray[np.uint8]) -> bytes:
    """Luminance hash of the whole image (H, W, 3), 32 bytes: it finds copies that differ only in tone or framing."""
    small = Image.fromarray(pixels).resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return bytes(luminance_hash(np.asarray(small)[None])[0].tobytes())


def _image(row: dict[str, Any], pixels: NDArray[np.uint8], crop: Crop) -> bytes:
    """A crop's file; a whole image keeps its bytes."""
    whole: bytes = row["image"]
    return whole if crop.source == WHOLE_IMAGE else cut(pixels, crop)
