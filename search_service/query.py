"""Find the pictures most similar to one in an opened search index.

A file is searched as the pipeline would see it: checked, its product found and cut out, coded by the model that made
the index.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from data_contracts.reasons import Reason
from dlcore.interop.artefact import name_of, with_version
from dlcore.search.codes import Codes, Distances, Indices, pack
from dlcore.search.index import Index
from dlcore.search.segment import Where
from dlcore.vision.detector import FoundObject, load_detector
from dlcore.vision.extractor import Extractor, load_extractor
from spark_jobs.scoring.contact_sheet import Tile, contact_sheet
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.crop import Crop, CropPolicy, choose_crops
from spark_jobs.stages.decode import decode_image, read_pixels
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.stages.extractors import usual_extractor
from spark_jobs.stages.features import whole_pictures
from spark_jobs.stages.limits import Limits

DECODING = Limits(timeout_s=10.0)
"""Limits for a picture that somebody waits for."""
CHOSEN = "chosen"
"""The source of a crop that somebody has drawn."""
_EXAMPLES = 20
"""Most items that are tried for one that can be named."""


@dataclass(frozen=True)
class Query:
    """What is searched for: its code (1, B), and its position in the index, or its picture if it is not in the
    index."""

    code: Codes
    position: int | None = None
    picture: Image.Image | None = None


@dataclass(frozen=True)
class Neighbour:
    """An item of the index near the query; distance in bits."""

    position: int
    distance: int
    day: str
    key: str
    crop: int
    label: str
    group: str


def query_of_key(index: Index, key: str, withdrawn: Collection[str] = ()) -> Query:
    """The picture of a key: the first crop, which is the best, of its newest day.

    withdrawn: keys that were taken down since the index was built.

    Raises:
        KeyError: the index does not have it, or no longer has it.
    """
    found = index.find(key)
    if not len(found) or key in withdrawn:
        like = f"{PurePath(key).with_suffix('').as_posix()}/0" if key else ""
        hint = f"; did you mean {like}?" if len(index.find(like)) else _example(index, withdrawn)
        raise KeyError(
            f"got {key!r}, which is neither a file nor a key of index {index.version} ({len(index)} items){hint}"
        )
    return query_of_item(index, key)


def _example(index: Index, withdrawn: Collection[str]) -> str:
    """An example of how keys are written: one of the first that may be shown."""
    first = (index.item(position).key for position in range(min(_EXAMPLES, len(index))))
    return next((f"; keys are written like {key}" for key in first if key not in withdrawn), "")


def query_of_item(
    index: Index, key: str, day: str = "", crop: int | None = None, withdrawn: Collection[str] = ()
) -> Query:
    """An item of a key, by day (by default its newest) and crop (by default the first).

    Raises:
        KeyError: the index does not have it, or no longer has it.
    """
    items = [] if key in withdrawn else [index.item(position) for position in index.find(key).tolist()]
    wanted = day or max((item.day for item in items), default="")
    fitting = [(item.crop, item.position) for item in items if item.day == wanted and crop in (None, item.crop)]
    if not fitting:
        raise KeyError(f"got {key!r} of {day}, crop {crop}, which index {index.version} does not have")
    position = min(fitting)[1]
    return Query(index.code(position)[None], position)


def query_of_file(index: Index, path: Path, models: Models) -> Query:
    """The product in an image file, seen as the pipeline sees it.

    Raises:
        ValueError: the file is not a usable image, or the extractor is not the one that made the index.
    """
    with path.open("rb") as file:
        data = file.read(DECODING.max_bytes + 1)
    try:
        seen = see(index, data, models)
    except UnusablePicture as error:
        raise ValueError(f"{path}: {error}") from None
    return Query(seen.code, picture=seen.picture)


@dataclass(frozen=True)
class Models:
    """Which artefacts see a picture. models: URI of their folder. detector: its name; `none`: use the whole picture.
    extractor: its name; empty: the one that made the index."""

    models: str
    detector: str
    extractor: str


class UnusablePicture(ValueError):
    """The pipeline would refuse this file. reason: why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"got {reason.value} ({reason.meaning}), expected a usable image")
        self.reason = reason


@dataclass(frozen=True)
class Seen:
    """What was seen in a picture of `width` x `height` pixels, upright: the crop that is searched for, its code (1, B),
    its pixels, and the things that the detector found. If the extractor also codes whole pictures, `code` also covers
    what surrounds the crop."""

    code: Codes
    picture: Image.Image
    crop: Crop
    width: int
    height: int
    objects: list[FoundObject]


Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max as fractions of width and height."""


def see(index: Index, data: bytes, models: Models, box: Box | None = None) -> Seen:
    """The product in the bytes of an image file, seen as the pipeline sees it; or the part of the picture in `box`.

    Raises:
        UnusablePicture: the file is not a usable image.
        ValueError: the extractor is not the one that made the index.
        FileNotFoundError, ModuleNotFoundError: an artefact is missing, or a package with weights that it builds on.
    """
    row = decode_image(data, DECODING)
    if row.image is None:
        raise UnusablePicture(row.reason)
    loaded = extractor_of(index, models)
    pixels = read_pixels(row.image)
    height, width = pixels.shape[:2]
    objects: list[FoundObject] = []
    if models.detector != NO_DETECTOR:
        objects = load_detector(artefact_uri(models.models, models.detector), batch=1).find([pixels])[0].objects
    crop = _crop_in(box, width, height) if box else choose_crops(objects, width, height, CropPolicy())[0]
    part = pixels[crop.y_min : crop.y_max, crop.x_min : crop.x_max]
    codes, _ = loaded.outputs([part], whole_pictures([row.image], loaded) if loaded.whole else None)
    return Seen(pack(codes, loaded.threshold), Image.fromarray(part), crop, width, height, objects)


def warm_up(models: Models, index: Index | None) -> None:
    """Load the models and run them once: the extractor that made the index or, without an index, the usual one.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: a model is missing, or is another kind of artefact.
    """
    blank = np.zeros((64, 64, 3), np.uint8)
    extractor = load_extractor(_asked(models), batch=1) if index is None else extractor_of(index, models)
    extractor.outputs([blank], [blank])
    if models.detector != NO_DETECTOR:
        load_detector(artefact_uri(models.models, models.detector), batch=1).find([blank])


def _crop_in(box: Box, width: int, height: int) -> Crop:
    """A box in pixels, at least one wide and high."""
    x_min, y_min = min(int(box[0] * width), width - 1), min(int(box[1] * height), height - 1)
    x_max, y_max = max(math.ceil(box[2] * width), x_min + 1), max(math.ceil(box[3] * height), y_min + 1)
    return Crop(x_min, y_min, min(x_max, width), min(y_max, height), CHOSEN)


def extractor_of(index: Index, models: Models) -> Extractor:
    """The extractor in the version that made the index, whichever version its name stands for now and, unless one is
    asked for, whatever its name.

    Raises:
        FileNotFoundError, ModuleNotFoundError, ValueError: see `see`.
    """
    made_by = index.model_version
    try:
        own = with_version(_asked(models), made_by) if models.extractor else _made_by(models.models, made_by)
        loaded = load_extractor(own, batch=1)
    except (LookupError, FileNotFoundError):
        loaded = load_extractor(_asked(models), batch=1)
    if loaded.version != made_by:
        raise ValueError(
            f"index {index.version} was made by model {made_by[:12]}, got {loaded.version[:12]}; "
            "search with that model, or run the pipeline and build_index again"
        )
    return loaded


def _asked(models: Models) -> str:
    """URI of the extractor that is asked for, or of the usual one, for which the folder of models is listed."""
    return artefact_uri(models.models, models.extractor or usual_extractor(models.models)[0])


@cache
def _made_by(models: str, version: str) -> str:
    """URI of the extractor with a version, which stays where it is; LookupError if no artefact has that version yet."""
    name = name_of(models, version)
    if name is None:
        raise LookupError(f"got version {version}, expected that of an artefact in {models}")
    return artefact_uri(models, with_version(name, version))


Search = Callable[[Codes, int], tuple[Indices, Distances]]
"""Finds the nearest items for codes (Q, B), so many for each."""


def neighbours(
    index: Index,
    query: Query,
    k: int,
    where: Where | None = None,
    withdrawn: Collection[str] = (),
    search: Search | None = None,
) -> list[Neighbour]:
    """The `k` nearest items that pass the filters, without crops of the query's own picture and of `withdrawn` keys.

    The search goes deeper while too many of the items found are withdrawn. The keys are not looked up in the index,
    since the list has all that were ever withdrawn.
    search: searches the index with the filters; by default the index itself.
    """
    own = _same_picture(index, query)
    find = search or (lambda codes, wanted: index.search(codes, wanted, where))
    wanted = k + len(own)
    while True:
        positions, apart = find(query.code, wanted)
        found = zip(map(index.item, positions[0].tolist()), apart[0].tolist(), strict=True)
        left = [
            Neighbour(item.position, distance, item.day, item.key, item.crop, item.label, item.group)
            for item, distance in found
            if item.key not in withdrawn and item.position not in own
        ]
        if len(left) >= k or positions.shape[1] < wanted:
            return left[:k]
        wanted *= 2


def neighbours_within(
    index: Index, query: Query, radius: int, where: Where | None = None, withdrawn: Collection[str] = ()
) -> list[Neighbour]:
    """All items at most `radius` bits away that pass the filters, nearest first.

    All crops of the query's own picture and of `withdrawn` keys are left out.
    """
    own = _same_picture(index, query)
    _, positions, apart = index.within(query.code, radius, where)
    found = zip(map(index.item, positions.tolist()), apart.tolist(), strict=True)
    return [
        Neighbour(item.position, distance, item.day, item.key, item.crop, item.label, item.group)
        for item, distance in found
        if item.key not in withdrawn and item.position not in own
    ]


def _same_picture(index: Index, query: Query) -> set[int]:
    """Positions of the crops of the query's picture: the same key on the same day."""
    if query.position is None:
        return set()
    own = index.item(query.position)
    return {position for position in index.find(own.key).tolist() if index.item(position).day == own.day}


def sheet_of(index: Index, query: Query, found: list[Neighbour]) -> Image.Image:
    """A contact sheet of the query, then its neighbours by distance; members of the query's group are framed."""
    group = index.item(query.position).group if query.position is not None else ""
    pictures = [(item, _picture(index, item.position)) for item in found]
    return sheet_with(query.picture or _picture(index, query.position), group, pictures)


def sheet_with(query: Image.Image | None, group: str, found: list[tuple[Neighbour, Image.Image | None]]) -> Image.Image:
    """The same for pictures that were read already; gray where there is none."""
    blank = Image.new("RGB", (128, 128), (230, 230, 230))
    tiles = [Tile(query or blank, "query")] + [
        Tile(picture or blank, f"{item.distance} bits\n{item.key}", bool(group) and item.group == group)
        for item, picture in found
    ]
    return contact_sheet([tiles[start : start + 6] for start in range(0, len(tiles), 6)])


def _picture(index: Index, position: int | None) -> Image.Image | None:
    data = index.thumbnail(position) if position is not None else b""
    return Image.open(io.BytesIO(data)) if data else None
