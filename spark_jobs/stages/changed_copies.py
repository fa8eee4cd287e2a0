"""Make the pictures that thresholds are calibrated on, without labels: pictures of the catalogue changed as shops
change them, and look-alikes of them.

Changed copies are duplicates of their picture. Look-alikes are other articles, unless the sample has the same one
twice. All go through the detector as in the pipeline, so that a copy may be cut differently from its original. The job
that calls this passes the changes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from dlcore.boxes import iou
from dlcore.search.signatures import luminance_hash
from dlcore.search.verification import Signatures
from dlcore.vision.detector import Detector, load_detector
from dlcore.vision.extractor import HASH_SIDE, Extractor, load_extractor
from dlcore.vision.pixels import Pixels, resized
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.crop import CropPolicy, choose_crops
from spark_jobs.stages.decode import read_pixels
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.stages.look_alike_views import Box, TakenApart, placed, taken_apart

ORIGINAL, NEW_BACKDROP, RECOLOURED = "original", "new backdrop", "recoloured"
RECOLOURED_THING, RECOLOURED_ELSEWHERE, ANOTHER_THING = "recoloured thing", "recoloured elsewhere", "another thing"
LOOK_ALIKES = (RECOLOURED, RECOLOURED_THING, RECOLOURED_ELSEWHERE, ANOTHER_THING)
"""Changes that make another article: the whole picture in another colour; only its thing in another colour; that before
another backdrop; another thing in its place."""
SCHEMA = pa.schema(
    [("day", pa.date32()), ("key", pa.string()), ("change", pa.string())]
    + [(name, pa.binary()) for name in ("code", "descriptor", "luminance_hash", "whole_hash", "chroma")]
    + [("overlap", pa.float32())]
)
"""Rows of `copy_batches`: the signatures of a picture (change `original`), of a changed copy or of a look-alike of it.

overlap: IoU of the crop that the detector cuts of a copy with the picture's own crop, carried along by the change; null
for what is no copy, and without a detector."""

BOX = ("x_min", "y_min", "x_max", "y_max")
_COLOURFUL = 20  # mean chroma of the part where a thing is, of 255
_PLAIN = 36  # mean difference of a thing in another colour, of 255
_SOLID = 128
_LEAST_TURN = 60  # degrees of hue, from which on an article is another


@dataclass(frozen=True)
class Picture:
    """A picture of the catalogue: RGB pixels (H, W, 3) and the corners of its crop in pixels; None if the whole picture
    is the crop."""

    pixels: Pixels
    box: Box | None

    @property
    def crop(self) -> Pixels:
        """The part that is coded."""
        x_min, y_min, x_max, y_max = self.box or (0, 0, *self.pixels.shape[1::-1])
        return self.pixels[y_min:y_max, x_min:x_max]


class Changed(Protocol):
    """A changed picture, and where its boxes are now."""

    @property
    def image(self) -> Image.Image:
        """The picture after the change."""

    def moved(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corners (B, 4) in pixels of the picture before the change -> corners in pixels of `image`."""


Transform: TypeAlias = Callable[[Image.Image, np.random.Generator], Changed]
Cut: TypeAlias = Callable[[Sequence[Pixels]], list[Pixels]]
"""Chooses the part of each picture that is coded."""


@dataclass(frozen=True)
class Changes:
    """What is done to pictures: transforms by name, and `recolour(image, hue in degrees, saturation)` for another
    article."""

    transforms: Mapping[str, Transform]
    recolour: Callable[[Image.Image, float, float], Image.Image]


class View(NamedTuple):
    """A changed picture: the name of the change, pixels (H, W, 3), and where the box of the original is now (4,)."""

    change: str
    pixels: Pixels
    box: NDArray[np.float32]


def cut_by(detector: Detector | None) -> Cut:
    """Crops as the pipeline would choose them; whole pictures without a detector."""
    return list if detector is None else lambda pictures: _parts(pictures, _boxes(detector, pictures))


def _boxes(detector: Detector, pictures: Sequence[Pixels]) -> list[Box]:
    boxes = []
    for pixels, found in zip(pictures, detector.find(pictures), strict=True):
        crop = choose_crops(found.objects, pixels.shape[1], pixels.shape[0], CropPolicy())[0]
        boxes.append((crop.x_min, crop.y_min, crop.x_max, crop.y_max))
    return boxes


def _parts(pictures: Sequence[Pixels], boxes: Sequence[Box]) -> list[Pixels]:
    return [picture[box[1] : box[3], box[0] : box[2]] for picture, box in zip(pictures, boxes, strict=True)]


def _overlap(view: View, box: Box) -> float | None:
    if view.change in LOOK_ALIKES:
        return None
    return float(iou(view.box[None], np.array([box], np.float32))[0, 0])


def changed_views(
    picture: Picture, other: Picture | None, changes: Changes, rng: np.random.Generator, copies: int = 8
) -> list[View]:
    """`copies` changed copies of a picture, one of them before the backdrop of an `other`, and look-alikes of it."""
    image = Image.fromarray(picture.pixels)
    corners = np.array([picture.box or (0, 0, *image.size)], np.float32)
    views = []
    for name in rng.choice(list(changes.transforms), min(copies, len(changes.transforms)), replace=False):
        changed = changes.transforms[str(name)](image, rng)
        views.append(View(str(name), np.asarray(changed.image), changed.moved(corners)[0]))
    own = taken_apart(picture.pixels, picture.box)
    foreign = None if other is None else taken_apart(other.pixels, other.box)
    made = [*_recoloured(image, own, foreign, changes, rng), *_exchanged(own, foreign)]
    return views + [View(name, pixels, corners[0]) for name, pixels in made]


def _exchanged(own: TakenApart, foreign: TakenApart | None) -> Iterator[tuple[str, Pixels]]:
    """The thing before another backdrop, which is still a copy; and another thing in its place."""
    if foreign is not None:
        yield NEW_BACKDROP, placed(own.thing, foreign.backdrop.resize(own.backdrop.size), own.box)
        yield ANOTHER_THING, placed(foreign.thing, own.backdrop, own.box)


def _recoloured(
    image: Image.Image, own: TakenApart, foreign: TakenApart | None, changes: Changes, rng: np.random.Generator
) -> Iterator[tuple[str, Pixels]]:
    """The picture in another colour, and its thing in another colour, if that is plain to see."""
    plain = own.thing.convert("RGB")
    whole_hue, hue = (float(v) for v in rng.uniform(_LEAST_TURN, 360 - _LEAST_TURN, 2))
    if _colour(np.asarray(plain)) > _COLOURFUL:
        yield RECOLOURED, np.asarray(changes.recolour(image, whole_hue, 1.0))
    turned = changes.recolour(plain, hue, 1.0)
    shows = np.abs(np.asarray(turned, np.int16) - np.asarray(plain)).mean(axis=2)
    mask = np.asarray(own.thing.getchannel("A")) > _SOLID
    if mask.any() and shows[mask].mean() > _PLAIN:
        turned.putalpha(own.thing.getchannel("A"))
        yield RECOLOURED_THING, placed(turned, own.backdrop, own.box)
        if foreign is not None:
            yield RECOLOURED_ELSEWHERE, placed(turned, foreign.backdrop.resize(image.size), own.box)


def signed(crops: Sequence[Pixels], pictures: Sequence[Pixels], extractor: Extractor) -> Signatures:
    """The signatures of crops (H, W, 3) and of the pictures they were cut from, one for each."""
    return extractor.signatures(crops, luminance_hash(_small(pictures)), pictures)


def _small(pictures: Sequence[Pixels]) -> Pixels:
    return np.stack([resized(picture, HASH_SIDE) for picture in pictures])


def _colour(pixels: Pixels) -> float:
    """Mean chroma of a picture, 0 to 255."""
    small = pixels[::8, ::8].astype(np.int16)
    return float((small.max(axis=2) - small.min(axis=2)).mean())


def copy_batches(
    batches: Iterable[pa.RecordBatch], models: str, extractor: str, detector: str, changes: Changes, copies: int
) -> Iterator[pa.RecordBatch]:
    """Rows (day, key, image, x_min, y_min, x_max, y_max, and these of another picture as other_*, null where there is
    none) -> rows of SCHEMA: each picture, `copies` changed copies of it, its look-alikes.

    detector: name of one with its version, or NO_DETECTOR.
    """
    loaded = load_extractor(artefact_uri(models, extractor))
    cutter = None if detector == NO_DETECTOR else load_detector(artefact_uri(models, detector))
    for batch in batches:
        for row in batch.to_pylist():
            yield _copies(row, loaded, cutter, changes, copies)


def _copies(
    row: dict[str, Any], extractor: Extractor, detector: Detector | None, changes: Changes, copies: int
) -> pa.RecordBatch:
    rng = np.random.default_rng(zlib.crc32(f"{row['day']}/{row['key']}".encode()))
    picture = _picture(row, "")
    views = changed_views(picture, _other(row), changes, rng, copies)
    changed = [view.pixels for view in views]
    boxes = None if detector is None else _boxes(detector, changed)
    parts = changed if boxes is None else _parts(changed, boxes)
    overlaps = [None] * len(views) if boxes is None else list(map(_overlap, views, boxes))
    # All at once: a batch of the network that is not full costs as much as a full one.
    signatures = signed([picture.crop, *parts], [picture.pixels, *changed], extractor)
    arrays = [
        pa.array([row["day"]] * len(signatures), pa.date32()),
        pa.array([row["key"]] * len(signatures)),
        pa.array([ORIGINAL, *(view.change for view in views)]),
        *(pa.array([value.tobytes() for value in column], pa.binary()) for column in signatures.arrays()),
        pa.array([None, *overlaps], pa.float32()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _other(row: dict[str, Any]) -> Picture | None:
    return _picture(row, "other_") if row.get("other_image") is not None else None


def _picture(row: dict[str, Any], prefix: str) -> Picture:
    pixels = read_pixels(row[f"{prefix}image"])
    x_min, y_min, x_max, y_max = (int(row[f"{prefix}{name}"]) for name in BOX)
    is_whole = (x_min, y_min, x_max, y_max) == (0, 0, pixels.shape[1], pixels.shape[0])
    return Picture(pixels, None if is_whole else (x_min, y_min, x_max, y_max))
