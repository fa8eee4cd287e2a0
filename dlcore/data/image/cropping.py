"""Transformers that take a part of a picture, put it on a larger one, fill a part, or mirror it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.data.image.colour import three_channels
from dlcore.data.image.feature import BOUNDING_BOX, ImageFeature
from dlcore.data.image.regions import BoundingBox
from dlcore.data.image.transformer import FeatureTransformer, drawn, drawn_integer

__all__ = [
    "CenterCrop",
    "DetectionCrop",
    "Expand",
    "Filler",
    "FixExpand",
    "FixedCrop",
    "HFlip",
    "RandomCrop",
    "RandomCropper",
]


def crop(feature: ImageFeature, box: BoundingBox, is_clip: bool = True) -> None:
    """Leave the part of the picture in `box`, cut off at the picture's edge with `is_clip`; coordinates are rounded
    down, in float32, as in BigDL. A picture with a label keeps the box, as fractions, as "boundingBox".

    Raises:
        ValueError: the part is empty, or beyond the picture without `is_clip`.
    """
    height, width = feature.mat().shape[:2]
    x1, y1, x2, y2 = box.array() * (np.array([width, height, width, height] if box.normalized else [1] * 4, np.float32))
    if is_clip:
        (x1, x2), (y1, y2) = np.clip([x1, x2], 0, width), np.clip([y1, y2], 0, height)
    left, top = int(x1), int(y1)
    right, bottom = left + int(x2 - x1), top + int(y2 - y1)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height) or min(x1, y1) < 0:
        raise ValueError(
            f"got columns {float(x1):g} to {float(x2):g} and rows {float(y1):g} to {float(y2):g}, expected a part of "
            f"the picture's "
            f"{width} columns and {height} rows"
        )
    feature.set_mat(feature.mat()[top:bottom, left:right])
    if feature.has_label():
        feature[BOUNDING_BOX] = box if box.normalized else box.scaled(1 / height, 1 / width, True)


@dataclass(eq=False)
class _SizedCrop(FeatureTransformer):
    """A part of crop_width x crop_height pixels, where `place` says."""

    crop_width: int
    crop_height: int
    is_clip: bool = True

    def place(self, height: int, width: int) -> tuple[float, float]:
        """The part's first row and column, given by how many more rows and columns the picture has than the part (or
        fewer)."""
        raise NotImplementedError(f"{type(self).__name__} does not define place")

    def change(self, feature: ImageFeature) -> None:
        height, width = feature.mat().shape[:2]
        top, left = self.place(height - self.crop_height, width - self.crop_width)
        crop(feature, BoundingBox(left, top, left + self.crop_width, top + self.crop_height, False), self.is_clip)


@dataclass(eq=False)
class CenterCrop(_SizedCrop):
    """The middle of the picture, crop_width x crop_height pixels; with is_clip less where the picture is smaller.

    Source: BigDL's CenterCrop.

    Raises:
        ValueError: without is_clip, the picture is smaller.
    """

    def place(self, height: int, width: int) -> tuple[float, float]:
        return height / 2, width / 2


@dataclass(eq=False)
class RandomCrop(_SizedCrop):
    """A part of crop_width x crop_height pixels anywhere; with is_clip less where the picture is smaller.

    Every place is as likely; BigDL never takes the first row or column.
    Source: BigDL's RandomCrop.

    Raises:
        ValueError: without is_clip, the picture is smaller.
    """

    def place(self, height: int, width: int) -> tuple[float, float]:
        return drawn_integer(0, max(height, 0)), drawn_integer(0, max(width, 0))


@dataclass(eq=False)
class FixedCrop(FeatureTransformer):
    """The part from (x1, y1) to (x2, y2), as fractions of the picture (`normalized`) or in pixels.

    Source: BigDL's FixedCrop.

    Raises:
        ValueError: the part is empty, or without is_clip beyond the picture.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    normalized: bool = True
    is_clip: bool = True

    def change(self, feature: ImageFeature) -> None:
        crop(feature, BoundingBox(self.x1, self.y1, self.x2, self.y2, self.normalized), self.is_clip)


@dataclass(eq=False)
class DetectionCrop(FeatureTransformer):
    """The first box that a detector found, kept under `roi_key`; the whole picture if it found none.

    The boxes are rows (K, 6) of label, score, x_min, y_min, x_max, y_max, or [K, row, row ...] as DetectionOutputSSD
    gives them; `normalized` says whether they are fractions.
    Source: BigDL's DetectionCrop.

    Raises:
        ValueError: nothing is kept under that key, or something else.
    """

    roi_key: str
    normalized: bool = True

    def change(self, feature: ImageFeature) -> None:
        if self.roi_key not in feature:
            raise ValueError(f"got no {self.roi_key!r}, expected boxes; detect first")
        found = np.asarray(feature[self.roi_key], np.float32)
        rows = found[1 : 1 + 6 * int(found[0])] if found.ndim == 1 and found.size else found
        if rows.size % 6:
            raise ValueError(f"got {self.roi_key!r} of shape {found.shape}, expected (K, 6) or [K, rows of 6]")
        boxes = rows.reshape(-1, 6)
        if len(boxes):
            crop(feature, BoundingBox.of(boxes[0, 2:], self.normalized))


@dataclass(eq=False)
class RandomCropper(FeatureTransformer):
    """A part of crop_w x crop_h pixels, with `mirror` mirrored half of the time; the result is float32.

    cropper_method: "Random", or "Center". channels: 3, which BigDL takes too.
    Source: BigDL's RandomCropper.

    Raises:
        ValueError: another method, or a picture that is smaller.
    """

    crop_w: int
    crop_h: int
    mirror: bool
    cropper_method: str
    channels: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cropper_method not in ("Random", "Center"):
            raise ValueError(
                f"RandomCropper: got cropper_method {self.cropper_method!r}, expected 'Random' or 'Center'"
            )

    def change(self, feature: ImageFeature) -> None:
        kind = RandomCrop if self.cropper_method == "Random" else CenterCrop
        kind(self.crop_w, self.crop_h, is_clip=False).change(feature)
        picture = feature.mat().astype(np.float32)
        feature.set_mat(picture[:, ::-1] if self.mirror and drawn(0.0, 1.0) >= 0.5 else picture)


@dataclass(eq=False)
class HFlip(FeatureTransformer):
    """Mirror the picture left to right.

    Source: BigDL's HFlip.
    """

    def change(self, feature: ImageFeature) -> None:
        feature.set_mat(feature.mat()[:, ::-1])


@dataclass(eq=False)
class Expand(FeatureTransformer):
    """Put the picture anywhere on one that is larger by a factor drawn from [min_expand_ratio, max_expand_ratio) and
    filled with the means. A picture with a label keeps the larger one's box, as fractions of the picture, as
    "boundingBox".

    Source: BigDL's Expand; Liu et al. 2016, "SSD: Single Shot MultiBox Detector".

    Raises:
        ValueError: ratios below 1, or min above max.
    """

    means_r: float = 123
    means_g: float = 117
    means_b: float = 104
    min_expand_ratio: float = 1.0
    max_expand_ratio: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.min_expand_ratio <= self.max_expand_ratio:
            raise ValueError(
                f"Expand: got ratios {self.min_expand_ratio} to {self.max_expand_ratio}, expected a range from 1 on"
            )

    def change(self, feature: ImageFeature) -> None:
        if abs(self.max_expand_ratio - 1) < 1e-2:
            return
        picture = three_channels(feature)
        height, width = picture.shape[:2]
        ratio = drawn(self.min_expand_ratio, self.max_expand_ratio)
        rows, columns = int(height * ratio), int(width * ratio)
        top, left = drawn_integer(0, rows - height), drawn_integer(0, columns - width)
        larger = np.empty((rows, columns, 3), picture.dtype)
        larger[...] = np.array([self.means_b, self.means_g, self.means_r]).astype(picture.dtype)
        larger[top : top + height, left : left + width] = picture
        feature.set_mat(larger)
        if feature.has_label():
            feature[BOUNDING_BOX] = _around(picture.shape, top, left, larger.shape)


def _around(shape: tuple[int, ...], top: int, left: int, larger: tuple[int, ...]) -> BoundingBox:
    """The box of a picture of shape `larger`, as fractions of the picture of `shape` that lies in it at (top, left)."""
    height, width = shape[:2]
    return BoundingBox(-left / width, -top / height, (larger[1] - left) / width, (larger[0] - top) / height)


@dataclass(eq=False)
class FixExpand(FeatureTransformer):
    """Put the picture in the middle of a black one of expand_height x expand_width pixels, whose box, as fractions of
    the picture, is kept as "boundingBox".

    BigDL leaves the surroundings as the memory was, and keeps the picture's place in pixels.
    Source: BigDL's FixExpand.

    Raises:
        ValueError: the picture is larger.
    """

    expand_height: int
    expand_width: int

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat()
        height, width, channels = picture.shape
        if height > self.expand_height or width > self.expand_width:
            raise ValueError(
                f"got a picture {height} x {width}, expected at most {self.expand_height} x {self.expand_width}"
            )
        top, left = (self.expand_height - height) // 2, (self.expand_width - width) // 2
        larger = np.zeros((self.expand_height, self.expand_width, channels), picture.dtype)
        larger[top : top + height, left : left + width] = picture
        feature.set_mat(larger)
        feature[BOUNDING_BOX] = _around(picture.shape, top, left, larger.shape)


@dataclass(eq=False)
class Filler(FeatureTransformer):
    """Fill the part from (start_x, start_y) to (end_x, end_y), fractions of the picture, with `value`.

    Source: BigDL's Filler.

    Raises:
        ValueError: fractions outside of [0, 1], or an end that is not behind its start.
    """

    start_x: float
    start_y: float
    end_x: float
    end_y: float
    value: int = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.start_x < self.end_x <= 1 and 0 <= self.start_y < self.end_y <= 1):
            raise ValueError(
                f"Filler: got ({self.start_x}, {self.start_y}) to ({self.end_x}, {self.end_y}), expected fractions "
                f"that rise"
            )

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat().copy()
        height, width = picture.shape[:2]
        (left, right), (top, bottom) = (
            np.ceil(np.array(ends, np.float32) * np.float32(size)).astype(int)
            for ends, size in (((self.start_x, self.end_x), width), ((self.start_y, self.end_y), height))
        )
        picture[top:bottom, left:right] = self.value
        feature.set_mat(picture)
