"""Scores of what a run has published, against a truth file: detector, features, duplicates, and the baselines beside
them.

Everything is taken from the published rows as they are, so the numbers are those of the whole pipeline, not of its
models alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.features import CODE_LENGTHS
from data_contracts.reasons import Reason
from dlcore.vision.detection_output import Detections
from dlcore.vision.detection_score import TrueObjects, all_kept, mean_average_precision
from dlcore.vision.extractor import HASH_SIDE, Extractor
from dlcore.vision.pixels import resized
from spark_jobs.scoring.baselines import baselines
from spark_jobs.scoring.evaluation import Address, Truth, labels_of, score_baseline, score_codes, score_duplicates
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.decode import read_pixels
from spark_jobs.stages.duplicates import one_version
from spark_jobs.stages.extractors import extractor_of_version, usual_extractor

Row = dict[str, Any]
Pair = tuple[Address, Address, str]

SMALL_SIDE, WHOLE_SIDE = HASH_SIDE, 224
SMALL = pa.schema([("day", pa.date32()), ("key", pa.string()), ("pixels", pa.binary())])
"""Rows of `small_batches`: square RGB pictures, row after row."""
BASELINES = {
    "phash": "phash_64",
    "phash_256": "phash_256",
    "itq": "itq",
    "random_projection": "random_projection",
}
"""Names in the report, and those of `scoring.baselines`."""

_ANY = ("any_map50", "any_precision", "any_recall")


@dataclass(frozen=True)
class Published:
    """The rows of every day, by address; an image with several crops has its first one here.

    detections, crops, features, duplicates, images: rows without image bytes.
    price_monitoring, picture_copyright: all their rows.
    whole_pictures, crop_pictures: small pictures of the used ones, (WHOLE_SIDE, WHOLE_SIDE, 3) and (SMALL_SIDE,
    SMALL_SIDE, 3).
    """

    detections: Mapping[Address, Row]
    crops: Mapping[Address, Row]
    features: Mapping[Address, Row]
    duplicates: Mapping[Address, Row]
    images: Mapping[Address, Row] = field(default_factory=dict)
    price_monitoring: Sequence[Row] = ()
    picture_copyright: Sequence[Row] = ()
    whole_pictures: Mapping[Address, NDArray[np.uint8]] = field(default_factory=dict)
    crop_pictures: Mapping[Address, NDArray[np.uint8]] = field(default_factory=dict)

    def groups(self) -> dict[Address, str]:
        """The group of each used image."""
        return {address: row["group"] for address, row in self.duplicates.items() if row["group"] is not None}

    def made_by(self, models: str, asked: str = "") -> str:
        """URI of the version of the extractor that made the features, whatever its name in the folder `models`.

        asked: the name to use if there are no features, or if no artefact has the version.

        Raises:
            ValueError: several versions made them.
        """
        version = one_version([row["model_version"] for row in self.features.values()])
        name = extractor_of_version(models, version, asked) if version else asked or usual_extractor(models)[0]
        return artefact_uri(models, name)


def by_address(rows: pa.Table) -> dict[Address, Row]:
    """Rows by day and key; if an image has several crops, the first one's."""
    found: dict[Address, Row] = {}
    for row in rows.to_pylist():
        address = row["day"].isoformat(), row["key"]
        if address not in found or row.get("crop", 0) < found[address].get("crop", 0):
            found[address] = row
    return found


def small_batches(batches: Iterable[pa.RecordBatch], side: int) -> Iterator[pa.RecordBatch]:
    """Rows with day, key, reason and image -> rows of SMALL, of the used ones, with `side` pixels a side."""
    for batch in batches:
        rows = [
            {"day": row["day"], "key": row["key"], "pixels": resized(read_pixels(row["image"]), side).tobytes()}
            for row in batch.to_pylist()
            if row["reason"] == Reason.OK
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=SMALL)


def small_pictures(rows: pa.Table, side: int) -> dict[Address, NDArray[np.uint8]]:
    """Rows of SMALL as pictures by address."""
    shape = (side, side, 3)
    return {address: np.frombuffer(row["pixels"], np.uint8).reshape(shape) for address, row in by_address(rows).items()}


def score_published(
    published: Published, truth: Sequence[Truth], look_alikes: Sequence[Pair], extractor: Extractor | None
) -> dict[str, Any]:
    """`detector`, `features`, `duplicates` and `baselines` of a run.

    look_alikes: pairs that must not share a group.
    extractor: the one that made the features, whose pooled features ITQ and random projection turn into codes; None
    leaves these and pHash out.
    """
    compared = score_baselines(published, truth, look_alikes, extractor) if extractor else {}
    return {
        "detector": score_detector(published.detections, truth),
        "features": score_features(published.features, truth),
        "duplicates": score_duplicates(truth, published.groups(), look_alikes),
        "baselines": score_parts(published.features, truth, look_alikes) | compared,
    }


def score_detector(detections: Mapping[Address, Row], truth: Sequence[Truth]) -> dict[str, Any]:
    """`map50` (VOC, IoU 0.5) of the published guesses, `classes` with the average precision of each, `images` judged.

    `any_map50`, `any_precision` and `any_recall` judge the published objects whatever their labels: crops and codes
    depend on these, and a truth with labels of its own allows no others.
    """
    judged = [row for row in truth if len(row.boxes) and row.address in detections]
    if not judged:
        return {"map50": 0.0, **dict.fromkeys(_ANY, 0.0), "classes": {}, "images": 0}
    rows = [detections[row.address] for row in judged]
    seen = {thing["label"] for row in rows for column in ("objects", "guesses") for thing in row[column] or []}
    names = sorted(seen | {label for row in judged for label in row.labels})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    objects, guesses = (
        [found_objects(row[column] or [], numbers) for row in rows] for column in ("objects", "guesses")
    )
    true = [TrueObjects(_numbers(row.labels, numbers), row.boxes) for row in judged]
    score = mean_average_precision(guesses, true)
    classes = {names[number - 1]: value for number, value in score.per_class.items()}
    return {"map50": score.map, **_any_scores(objects, true), "classes": classes, "images": len(judged)}


def _any_scores(found: Sequence[Detections], true: Sequence[TrueObjects]) -> dict[str, float]:
    """The scores that ignore labels."""
    kept = all_kept(found, true)
    area = mean_average_precision(
        [replace(things, labels=np.ones_like(things.labels)) for things in found],
        [replace(things, labels=np.ones_like(things.labels)) for things in true],
    ).map
    return dict(zip(_ANY, (area, kept.precision, kept.recall), strict=True))


def found_objects(objects: Sequence[Row], numbers: Mapping[str, int]) -> Detections:
    """Published objects of one image as detections; numbers: the index of each label."""
    corners = [[o[name] for name in ("x_min", "y_min", "x_max", "y_max")] for o in objects]
    return Detections(
        _numbers([o["label"] for o in objects], numbers),
        np.array([o["score"] for o in objects], np.float32),
        np.array(corners, np.float32).reshape(-1, 4),
    )


def _numbers(labels: Iterable[str], numbers: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([numbers[label] for label in labels], np.int64)


def score_features(features: Mapping[Address, Row], truth: Sequence[Truth]) -> dict[str, Any]:
    """`bits`, `entropy_mean`, `recall_at_10`, `map` and more of the published codes whose group is known."""
    judged = [row for row in counted(truth) if _code(features, row) is not None]
    if not judged:
        return {"bits": 0, "entropy_mean": 0.0, "recall_at_10": 0.0, "map": 0.0}
    codes = np.stack([np.frombuffer(_code(features, row) or b"", np.uint8) for row in judged])
    return dict(score_codes(codes, labels_of(row.group for row in judged)))


def counted(truth: Sequence[Truth]) -> list[Truth]:
    """The images that take part in the scores of features and duplicates."""
    return [row for row in truth if row.is_counted and row.group is not None]


def _code(features: Mapping[Address, Row], row: Truth) -> bytes | None:
    found = features.get(row.address)
    return found["code"] if found else None


def score_parts(features: Mapping[Address, Row], truth: Sequence[Truth], look_alikes: Sequence[Pair]) -> dict[str, Any]:
    """Scores of the crops' bits and of the whole images' bits by themselves; empty if the codes are of crops alone."""
    judged = [row for row in counted(truth) if _code(features, row) is not None]
    codes = [_code(features, row) or b"" for row in judged]
    of_crop, of_both = CODE_LENGTHS
    if len(judged) < 2 or {len(code) for code in codes} != {of_both}:
        return {}
    rows = np.stack([np.frombuffer(code, np.uint8) for code in codes])
    parts = {"crop_bits": rows[:, :of_crop], "whole_bits": rows[:, of_crop:]}
    return {name: score_baseline(part, judged, look_alikes) for name, part in parts.items()}


def score_baselines(
    published: Published, truth: Sequence[Truth], look_alikes: Sequence[Pair], extractor: Extractor
) -> dict[str, Any]:
    """Scores on the same pictures of pHash of the whole images, and of ITQ and random projection of the extractor's
    pooled features."""
    wholes, crops = published.whole_pictures, published.crop_pictures
    judged = [row for row in counted(truth) if row.address in wholes and row.address in crops]
    if len(judged) < 2:
        return {}
    addresses = [row.address for row in judged]
    cut, whole = (np.stack([pictures[address] for address in addresses]) for pictures in (crops, wholes))
    scores = baselines(extractor, cut, whole, judged, look_alikes)
    return {name: scores[source] for name, source in BASELINES.items()}
