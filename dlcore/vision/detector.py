"""An SSD detector ready to run: pixels in, labelled boxes out.

The network runs one fixed batch shape and the last batch is padded, so that what is found in an image never depends on
its neighbours. A version of an artefact is loaded once per process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.activity import Array
from dlcore.boxes import decode, iou
from dlcore.interop.artefact import load_artefact, pinned
from dlcore.vision.arithmetic import plan_of
from dlcore.vision.detection_output import DetectionRule, Detections, check_outputs, detection_output
from dlcore.vision.pixels import Pixels, resized
from dlcore.vision.preprocessing import Preprocessing
from dlcore.vision.priors import PriorLevel, prior_boxes

BATCH = 8
"""Number of images that the network sees at a time."""

MOST_OBJECTS = 20
"""Most objects kept of an image, best first."""

GUESSES = DetectionRule(min_score=0.02, keep_top_k=50)
"""The guesses that are kept to measure the detector by. With all down to 0.01, the mAP of the held-out catalogue is
0.8995; with these it is 0.899."""

_OVERLAP = 0.45  # of two detections that are taken for the same thing
_VOTE_OVERLAP, _LEAST_VOTE = 0.6, 0.1  # with the surest box, and how sure another must be, to be averaged with it
_LEAST_SIDE = 1e-3  # of a box, as a fraction of the image


@dataclass(frozen=True)
class FoundObject:
    """A thing in an image: label, score in [0, 1], box corners as fractions of width and height."""

    label: str
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Findings(NamedTuple):
    """What was found in one image, best first: its objects, each once, and the guesses of every class, sometimes
    several for one thing."""

    objects: list[FoundObject]
    guesses: list[FoundObject]


@dataclass(frozen=True)
class DetectorSettings:
    """What a detector's artefact says besides the network.

    classes: names by index, the background first.
    levels: its priors.
    threshold: least probability that there is something (one minus that of the background).
    is_mirrored: whether it also looks at each image mirrored, and takes the mean: twice the work, fewer wrong labels.
    is_averaged: whether each box is the mean of those around it: see `any_objects`.
    """

    classes: tuple[str, ...]
    levels: tuple[PriorLevel, ...]
    preprocessing: Preprocessing
    threshold: float
    is_mirrored: bool = False
    is_averaged: bool = False

    def metadata(self) -> dict[str, Any]:
        """As plain values for the artefact's JSON."""
        return {
            "kind": "ssd",
            "classes": list(self.classes),
            "priors": [asdict(level) for level in self.levels],
            "preprocessing": self.preprocessing.metadata(),
            "threshold": self.threshold,
            "is_mirrored": self.is_mirrored,
            "is_averaged": self.is_averaged,
        }

    @classmethod
    def from_metadata(cls, values: dict[str, Any]) -> DetectorSettings:
        """From an artefact's metadata.

        Raises:
            ValueError: the artefact is not a detector's.
        """
        if values.get("kind") != "ssd":
            raise ValueError(
                f"got an artefact of kind {values.get('kind')!r}, expected 'ssd'; name a detector's artefact"
            )
        levels = tuple(
            PriorLevel(**{**level, "aspect_ratios": tuple(level["aspect_ratios"])}) for level in values["priors"]
        )
        preprocessing = Preprocessing.from_metadata(values["preprocessing"])
        looks = (bool(values.get(name, False)) for name in ("is_mirrored", "is_averaged"))
        return cls(tuple(values["classes"]), levels, preprocessing, float(values["threshold"]), *looks)

    @cached_property
    def priors(self) -> Array:
        """(P, 4) corners as fractions."""
        return prior_boxes(self.levels, self.preprocessing.size)


@dataclass(frozen=True, eq=False)
class Detector:
    """A network ready to run: `run` takes (batch, 3, S, S) and gives [locations, logits]; `version` is the artefact's
    hash."""

    settings: DetectorSettings
    run: Callable[[Array], Any]
    version: str
    batch: int = BATCH

    def find(self, images: Sequence[Pixels]) -> list[Findings]:
        """What the detector finds in each image (H, W, 3) uint8."""
        side = self.settings.preprocessing.resize
        found: list[Findings] = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            batch = np.zeros((self.batch, side, side, 3), np.uint8)
            for row, pixels in zip(batch, part, strict=False):
                row[:] = resized(pixels, side)
            locations, logits = self._outputs(self.settings.preprocessing.normalise(batch))
            found += self._findings(locations[: len(part)], logits[: len(part)])
        return found

    def _outputs(self, x: Array) -> tuple[Array, Array]:
        """Locations (N, P, 4) and logits (N, P, C) of inputs (N, 3, S, S)."""
        if self.settings.is_mirrored:
            return looked_twice(self.run, x, self.settings.levels)
        locations, logits = self.run(x)
        return locations, logits

    def _findings(self, locations: Array, logits: Array) -> Iterator[Findings]:
        """The findings in N images, from the outputs (N, P, 4) and (N, P, C)."""
        priors, threshold = self.settings.priors, self.settings.threshold
        guesses = detection_output(locations, logits, priors, GUESSES)
        for location, logit, guessed in zip(locations, logits, guesses, strict=True):
            objects = any_objects(location, logit, priors, threshold, self.settings.is_averaged)
            yield Findings(self._named(objects), self._named(inside_image(guessed)))

    def _named(self, found: Things | Detections) -> list[FoundObject]:
        names = self.settings.classes
        rows = zip(found.labels, found.scores, found.boxes, strict=True)
        return [FoundObject(names[label], float(score), *(float(v) for v in box)) for label, score, box in rows]


def looked_twice(run: Callable[[Array], Any], x: Array, levels: Sequence[PriorLevel]) -> tuple[Array, Array]:
    """The mean of a network's outputs for inputs (N, 3, S, S) and for their mirror images, prior by prior.

    A prior's mirror image is the prior of the same kind in the opposite column, where a shift along x has the opposite
    sign.
    """
    parts, before = [], 0
    for level in levels:
        kinds = np.arange(level.side**2 * level.per_cell).reshape(level.side, level.side, level.per_cell)
        parts.append(before + kinds[:, ::-1].ravel())
        before += kinds.size
    order = np.concatenate(parts)
    locations, logits = run(x)
    mirrored, mirrored_logits = run(x[..., ::-1])
    turned = mirrored[:, order] * np.array([-1, 1, 1, 1], np.float32)
    return (locations + turned) / 2, (logits + mirrored_logits[:, order]) / 2


@dataclass(frozen=True)
class Things:
    """The things in one image, best label first: labels (D,) int, scores (D,) of the labels, sureness (D,) that each is
    any thing at all, boxes (D, 4) as fractions inside the image."""

    labels: NDArray[np.int64]
    scores: Array
    sureness: Array
    boxes: Array


def any_objects(locations: Array, logits: Array, priors: Array, threshold: float, is_averaged: bool = False) -> Things:
    """The things in one image, each once, with its likeliest label.

    locations (P, 4), logits (P, C), priors (P, 4). A prior counts if one minus its probability of background is above
    `threshold`; among those that overlap, the surest is kept.
    is_averaged: whether a box becomes the mean of all that nearly cover it, weighted by the squares of their sureness,
    as in Gidaris and Komodakis 2015 (box voting): then copies of a picture are cut more alike.

    Raises:
        ValueError: the network gave NaN (`check_outputs`).
    """
    check_outputs(locations[None], logits[None])
    chances = kernels.softmax(logits, 1)
    sureness = 1.0 - chances[:, 0]
    boxes = np.clip(decode(locations, priors), 0.0, 1.0)
    candidates = np.flatnonzero((sureness > threshold) & _has_area(boxes))
    if len(candidates):
        candidates = candidates[kernels.nms(boxes[candidates], sureness[candidates], _OVERLAP, 0)]
    labels = chances[candidates, 1:].argmax(axis=1) + 1
    scores = chances[candidates, labels]
    order = np.argsort(-scores, kind="stable")[:MOST_OBJECTS]
    chosen = candidates[order]
    found = _averaged(boxes[chosen], boxes, sureness) if is_averaged else boxes[chosen]
    return Things(labels[order], scores[order], sureness[chosen], found)


def _averaged(chosen: Array, boxes: Array, sureness: Array) -> Array:
    """The chosen boxes (D, 4), each replaced by the mean of the boxes (P, 4) that overlap it and are sure enough
    (P,)."""
    voters = np.flatnonzero(sureness > _LEAST_VOTE)
    weights = np.where(iou(chosen, boxes[voters]) > _VOTE_OVERLAP, sureness[voters] ** 2, 0)
    mean: Array = (weights @ boxes[voters] / np.maximum(weights.sum(1, keepdims=True), 1e-9)).astype(np.float32)
    return np.where(weights.any(axis=1, keepdims=True), mean, chosen)


def inside_image(found: Detections) -> Detections:
    """The detections with boxes cut at the image's edges, without those that have no area left."""
    boxes = np.clip(found.boxes, 0.0, 1.0)
    kept = _has_area(boxes)
    return Detections(found.labels[kept], found.scores[kept], boxes[kept])


def _has_area(boxes: Array) -> NDArray[np.bool_]:
    """Which boxes (P, 4) are wide and high enough to be something."""
    return np.asarray(((boxes[:, 2:] - boxes[:, :2]) > _LEAST_SIDE).all(axis=1))


def load_detector(uri: str, batch: int = BATCH) -> Detector:
    """The detector of an artefact, compiled once per process, version and batch.

    batch: images that the network sees at a time; use 1 if they come one by one, since padding costs as much as images.

    Raises:
        ValueError: the artefact is not a detector's.
    """
    return _loaded(pinned(uri), batch)


@cache
def _loaded(uri: str, batch: int) -> Detector:
    """Of one version, which never changes."""
    artefact = load_artefact(uri)
    settings = DetectorSettings.from_metadata(artefact.metadata)
    side = settings.preprocessing.size
    return Detector(
        settings, plan_of(artefact.model, artefact.metadata, (batch, 3, side, side)), artefact.version, batch
    )
