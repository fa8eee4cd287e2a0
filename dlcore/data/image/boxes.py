"""Transformers of the boxes on a picture (its RoiLabel); they go with those of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.data.image.cropping import crop
from dlcore.data.image.feature import BOUNDING_BOX, LABEL, ImageFeature
from dlcore.data.image.regions import BoundingBox, RoiLabel, projected
from dlcore.data.image.transformer import FeatureTransformer, drawn

__all__ = ["RandomSampler", "RoiHFlip", "RoiNormalize", "RoiProject", "RoiResize"]


def _roi_label(feature: ImageFeature) -> RoiLabel:
    label = feature[LABEL]
    if not isinstance(label, RoiLabel):
        raise ValueError(f"got a label of type {type(label).__name__}, expected a RoiLabel: RoiLabel(classes, bboxes)")
    return label


def _scale(feature: ImageFeature, height: float, width: float) -> None:
    label = _roi_label(feature)
    factors = np.array([width, height, width, height], np.float32)
    feature[LABEL] = RoiLabel(label.classes, label.bboxes * factors)


@dataclass(eq=False)
class RoiNormalize(FeatureTransformer):
    """Boxes in pixels become fractions of the picture.

    Source: BigDL's RoiNormalize.
    """

    def change(self, feature: ImageFeature) -> None:
        height, width, _ = feature.get_size()
        _scale(feature, 1 / height, 1 / width)


@dataclass(eq=False)
class RoiResize(FeatureTransformer):
    """Boxes in pixels follow the resizing of the picture from its original size; `normalized` ones, fractions, stay.

    Source: BigDL's RoiResize.
    """

    normalized: bool = True

    def change(self, feature: ImageFeature) -> None:
        if not self.normalized:
            (height, width, _), (rows, columns, _) = feature.get_size(), feature.get_original_size()
            _scale(feature, height / rows, width / columns)


@dataclass(eq=False)
class RoiHFlip(FeatureTransformer):
    """Boxes follow HFlip; `normalized`: they are fractions.

    Source: BigDL's RoiHFlip.
    """

    normalized: bool = True

    def change(self, feature: ImageFeature) -> None:
        label = _roi_label(feature)
        width = np.float32(1 if self.normalized else feature.get_size()[1])
        x1, y1, x2, y2 = label.bboxes.T
        feature[LABEL] = RoiLabel(label.classes, np.stack([width - x2, y1, width - x1, y2], 1))


@dataclass(eq=False)
class RoiProject(FeatureTransformer):
    """Boxes, as fractions, follow the crop or expansion that "boundingBox" describes: they become fractions of it, cut
    off at its edge, and those outside it are dropped. need_meet_center_constraint: those whose centre lies outside are
    dropped too.

    Source: BigDL's RoiProject.

    Raises:
        ValueError: the picture has not been cropped or expanded.
    """

    need_meet_center_constraint: bool

    def change(self, feature: ImageFeature) -> None:
        box = feature[BOUNDING_BOX]
        if box is None:
            raise ValueError('got no "boundingBox", expected a crop or Expand before RoiProject')
        feature[LABEL] = projected(_roi_label(feature), box.array(), self.need_meet_center_constraint)


SAMPLERS: tuple[tuple[float, float | None], ...] = (
    (1.0, None),
    (0.3, 0.1),
    (0.3, 0.3),
    (0.3, 0.5),
    (0.3, 0.7),
    (0.3, 0.9),
    (0.3, 0.0),
)
"""(least scale, least overlap with a box) of the parts that RandomSampler tries; None asks for no box."""
_TRIALS = 50


@dataclass(eq=False)
class RandomSampler(FeatureTransformer):
    """A random part for training SSD, with the boxes, as fractions, whose centres are in it.

    For each overlap with a box that the paper names, a part of 0.3 to 1 of the picture's side and aspect ratio 0.5 to 2
    is tried up to 50 times; of those found, and the whole picture, one is drawn.
    Source: BigDL's RandomSampler; Liu et al. 2016, "SSD: Single Shot MultiBox Detector", data augmentation.
    """

    def change(self, feature: ImageFeature) -> None:
        label = _roi_label(feature)
        parts = [part for scale, overlap in SAMPLERS if (part := _sampled(label.bboxes, scale, overlap)) is not None]
        chosen = parts[int(drawn(0.0, 1.0) * len(parts))]
        crop(feature, BoundingBox.of(chosen))
        feature[LABEL] = projected(label, chosen, True)


def _sampled(boxes: Array, least_scale: float, overlap: float | None) -> Array | None:
    if overlap is None:
        return np.array([0, 0, 1, 1], np.float32)
    for _ in range(_TRIALS if len(boxes) else 0):
        part = _part(least_scale)
        if (iou(part[None], boxes) >= overlap).any():
            return part
    return None


def _part(least_scale: float) -> Array:
    scale = drawn(least_scale, 1.0)
    ratio = min(max(drawn(0.5, 2.0), scale * scale), 1 / scale / scale)
    width, height = scale * np.sqrt(ratio), scale / np.sqrt(ratio)
    left, top = drawn(0.0, 1 - width), drawn(0.0, 1 - height)
    return np.array([left, top, left + width, top + height], np.float32)
