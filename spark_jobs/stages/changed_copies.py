"""Copies of catalogue pictures, changed as shops change them: what thresholds are calibrated on, without labels.

The crop of a copy is the original's crop after the change, a few percent off, as the detector's would be. The job that
calls this gives the changes along.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from dlcore.search.signatures import luminance_hash
from dlcore.vision.extractor import HASH_SIDE, Extractor, load_extractor
from dlcore.vision.pixels import Pixels, resized
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.decode import read_pixels

ORIGINAL, RECOLOURED = "original", "recoloured"
SCHEMA = pa.schema(
    [("day", pa.date32()), ("key", pa.string()), ("change", pa.string())]
    + [(name, pa.binary()) for name in ("code", "descriptor", "luminance_hash", "whole_hash", "chroma")]
)
"""Rows of `copy_batches`: the signatures of a picture (change `original`) or of a changed copy of it."""

_JITTER = 0.03


@dataclass(frozen=True)
class Picture:
    """A picture of the catalogue: RGB pixels (H, W, 3), and the corners of its crop in pixels, None for all of it."""

    pixels: Pixels
    box: tuple[int, int, int, int] | None


class Changed(Protocol):
    """A changed picture, and where its boxes have gone."""

    @property
    def image(self) -> Image.Image:
        """The picture after the change."""

    def moved(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corners (B, 4) in pixels of the picture before -> corners in pixels of `image`."""


Transform: TypeAlias = Callable[[Image.Image, np.random.Generator], Changed]


@dataclass(frozen=True)
class Changes:
    """What is done to pictures: transforms by name, and `recolour(image, hue in degrees, saturation)` for another article."""

    transforms: Mapping[str, Transform]
    recolour: Callable[[Image.Image, float, float], Image.Image]


def changed_views(
    picture: Picture, changes: Changes, rng: np.random.Generator, copies: int = 8
) -> list[tuple[str, Pixels, Pixels]]:
    """`copies` changed copies of a picture, and one recoloured where it has colour -> (change, crop, whole image)."""
    image = Image.fromarray(picture.pixels)
    corners = np.array([picture.box or (0, 0, *image.size)], np.float32)
    views = []
    names = list(changes.transforms)
    for name in rng.choice(names, min(copies, len(names)), replace=False):
        changed = changes.transforms[str(name)](image, rng)
        whole = np.asarray(changed.image)
        views.append((str(name), _cut(whole, changed.moved(corners)[0], rng, picture.box is None), whole))
    if _colour(picture.pixels) > 20:
        whole = np.asarray(changes.recolour(image, float(rng.uniform(60, 300)), 1.0))
        views.append((RECOLOURED, _cut(whole, corners[0], rng, picture.box is None), whole))
    return views


def _cut(pixels: Pixels, box: NDArray[np.float32], rng: np.random.Generator, is_whole: bool) -> Pixels:
    """The crop of a changed copy, its box off by a few percent as a detector's would be."""
    if is_whole:
        return pixels
    height, width = pixels.shape[:2]
    off = rng.normal(0, _JITTER, 4) * max(box[2] - box[0], box[3] - box[1])
    x_min, y_min, x_max, y_max = np.round(box + off)
    left, top = int(np.clip(x_min, 0, width - 8)), int(np.clip(y_min, 0, height - 8))
    return pixels[top : max(int(y_max), top + 8), left : max(int(x_max), left + 8)]


def _colour(pixels: Pixels) -> float:
    """Mean chroma of a picture, 0 to 255."""
    small = pixels[::8, ::8].astype(np.int16)
    return float((small.max(axis=2) - small.min(axis=2)).mean())


def copy_batches(
    batches: Iterable[pa.RecordBatch], models: str, extractor: str, changes: Changes, copies: int
) -> Iterator[pa.RecordBatch]:
    """Rows (day, key, image, x_min, y_min, x_max, y_max) -> rows of SCHEMA: each picture and `copies` changed copies of it."""
    loaded = load_extractor(artefact_uri(models, extractor))
    for batch in batches:
        for row in batch.to_pylist():
            yield _copies(row, loaded, changes, copies)


def _copies(row: dict[str, Any], extractor: Extractor, changes: Changes, copies: int) -> pa.RecordBatch:
    pixels = read_pixels(row["image"])
    box = row["x_min"], row["y_min"], row["x_max"], row["y_max"]
    is_whole = box == (0, 0, pixels.shape[1], pixels.shape[0])
    rng = np.random.default_rng(zlib.crc32(f"{row['day']}/{row['key']}".encode()))
    crop = pixels[box[1] : box[3], box[0] : box[2]]
    views = [
        (ORIGINAL, crop, pixels),
        *changed_views(Picture(pixels, None if is_whole else box), changes, rng, copies),
    ]
    wholes = [whole for _, _, whole in views]
    hashes = luminance_hash(np.stack([resized(whole, HASH_SIDE) for whole in wholes]))
    signatures = extractor.signatures([crop for _, crop, _ in views], hashes, wholes)
    columns = (signatures.codes, signatures.descriptors, signatures.hashes, signatures.wholes, signatures.chroma)
    arrays = [
        pa.array([row["day"]] * len(views), pa.date32()),
        pa.array([row["key"]] * len(views)),
        pa.array([change for change, _, _ in views]),
        *(pa.array([value.tobytes() for value in column], pa.binary()) for column in columns),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
