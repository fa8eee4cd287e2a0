"""Transformers of a picture's size. The modes are OpenCV's numbers, see `opencv.resize`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.data.image.feature import ImageFeature
from dlcore.data.image.opencv import (
    INTER_AREA,
    INTER_CUBIC,
    INTER_LANCZOS4,
    INTER_LINEAR,
    INTER_NEAREST,
    resize,
)
from dlcore.data.image.transformer import FeatureTransformer, drawn, drawn_integer

__all__ = ["AspectScale", "RandomAlterAspect", "RandomAspectScale", "RandomResize", "Resize"]

_MODES = (INTER_LINEAR, INTER_CUBIC, INTER_AREA, INTER_NEAREST, INTER_LANCZOS4)
_MODE_NAMES = {
    "CUBIC": INTER_CUBIC,
    "LINEAR": INTER_LINEAR,
    "AREA": INTER_AREA,
    "NEAREST": INTER_NEAREST,
    "LANCZOS4": INTER_LANCZOS4,
}


def _resize(feature: ImageFeature, height: int, width: int, mode: int) -> None:
    feature.set_mat(resize(feature.mat(), height, width, mode))


def _require_above(transformer: FeatureTransformer, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{type(transformer).__name__}: got {name} {size}, expected at least 1")


@dataclass(eq=False)
class Resize(FeatureTransformer):
    """Bring pictures to resize_h x resize_w pixels.

    resize_mode: how to interpolate, 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos; -1 draws one for each picture.
    Without use_scale_factor it is linear, as in BigDL.
    Source: BigDL's Resize.

    Raises:
        ValueError: a size below 1, or an unknown mode.
    """

    resize_h: int
    resize_w: int
    resize_mode: int = 1
    use_scale_factor: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_above(self, resize_h=self.resize_h, resize_w=self.resize_w)
        if self.resize_mode not in (-1, *_MODES):
            raise ValueError(f"Resize: got resize_mode {self.resize_mode}, expected -1 to 4")

    def change(self, feature: ImageFeature) -> None:
        mode = _MODES[drawn_integer(0, len(_MODES) - 1)] if self.resize_mode == -1 else self.resize_mode
        _resize(feature, self.resize_h, self.resize_w, mode if self.use_scale_factor else INTER_LINEAR)


def _aspect_size(
    size: tuple[int, ...], min_size: int, multiple: int, max_size: int, min_scale: float = -1.0
) -> tuple[int, int]:
    """(height, width) with the shorter side `min_size`, unless the longer were above `max_size` then; in float32, as in
    BigDL."""
    height, width = size[:2]
    scale = np.float32(min_size) / np.float32(min(height, width))
    if min_scale > 0:
        scale = max(np.float32(min_scale), scale)
    if np.floor(scale * np.float32(max(height, width)) + np.float32(0.5)) > max_size:
        scale = np.float32(max_size) / np.float32(max(height, width))
    if multiple > 1:
        return tuple(int(side * scale / multiple) * multiple for side in (height, width))  # type: ignore[return-value]
    rows, columns = (int(np.floor(side * scale + np.float32(0.5))) for side in (height, width))
    return rows, columns


@dataclass(eq=False)
class AspectScale(FeatureTransformer):
    """Bring the shorter side to min_size, or the longer to max_size if it would exceed that; the aspect ratio stays.

    scale_multiple_of: both sides are rounded down to a multiple of it. min_scale: the least factor, -1 for none.
    Source: BigDL's AspectScale; Ren et al. 2015, "Faster R-CNN".

    Raises:
        ValueError: a size below 1.
    """

    min_size: int
    scale_multiple_of: int = 1
    max_size: int = 1000
    resize_mode: int = 1
    use_scale_factor: bool = True
    min_scale: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_above(self, min_size=self.min_size, scale_multiple_of=self.scale_multiple_of, max_size=self.max_size)

    def change(self, feature: ImageFeature) -> None:
        shape = feature.mat().shape
        size = _aspect_size(shape, self.min_size, self.scale_multiple_of, self.max_size, self.min_scale)
        _resize(feature, *size, self.resize_mode if self.use_scale_factor else INTER_LINEAR)


@dataclass(eq=False)
class RandomAspectScale(FeatureTransformer):
    """AspectScale to one of `scales`, drawn for each picture.

    Source: BigDL's RandomAspectScale.

    Raises:
        ValueError: no scales, or a size below 1.
    """

    scales: Sequence[int]
    scale_multiple_of: int = 1
    max_size: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.scales):
            raise ValueError("RandomAspectScale: got no scales, expected at least one")
        _require_above(self, scales=min(self.scales), scale_multiple_of=self.scale_multiple_of, max_size=self.max_size)

    def change(self, feature: ImageFeature) -> None:
        scale = self.scales[drawn_integer(0, len(self.scales) - 1)]
        size = _aspect_size(feature.mat().shape, scale, self.scale_multiple_of, self.max_size)
        _resize(feature, *size, INTER_LINEAR)


@dataclass(eq=False)
class RandomResize(FeatureTransformer):
    """Bring the shorter side to a number drawn from min_size to max_size, cubic; the aspect ratio stays.

    Source: BigDL's RandomResize.

    Raises:
        ValueError: min_size below 1 or above max_size.
    """

    min_size: int
    max_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.min_size <= self.max_size:
            raise ValueError(f"RandomResize: got {self.min_size} to {self.max_size}, expected a range from 1 on")

    def change(self, feature: ImageFeature) -> None:
        height, width = feature.mat().shape[:2]
        shorter = drawn_integer(self.min_size, self.max_size)
        longer = int(max(height, width) / min(height, width) * shorter)
        size = (shorter, longer) if height < width else (longer, shorter)
        _resize(feature, *size, INTER_CUBIC)


@dataclass(eq=False)
class RandomAlterAspect(FeatureTransformer):
    """Cut out a part of random area and aspect ratio, and resize it to crop_length x crop_length.

    The part has min_area_ratio to max_area_ratio of the picture's area, and an aspect ratio changed by a factor of
    min_aspect_ratio_change to 1 / min_aspect_ratio_change, or the inverse; when ten draws do not fit, it is the whole
    picture.
    interp_mode: "CUBIC", "LINEAR", "AREA", "NEAREST" or "LANCZOS4" (BigDL always takes cubic).
    Source: BigDL's RandomAlterAspect; Szegedy et al. 2015, "Going deeper with convolutions".

    Raises:
        ValueError: a ratio that is not positive, min_area_ratio above max_area_ratio, or an unknown mode.
    """

    min_area_ratio: float
    max_area_ratio: float
    min_aspect_ratio_change: float
    interp_mode: str
    crop_length: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_above(self, crop_length=self.crop_length)
        if self.interp_mode not in _MODE_NAMES:
            raise ValueError(
                f"RandomAlterAspect: got interp_mode {self.interp_mode!r}, expected one of {', '.join(_MODE_NAMES)}"
            )
        if not 0 < self.min_area_ratio <= self.max_area_ratio or not 0 < self.min_aspect_ratio_change <= 1:
            raise ValueError(
                f"RandomAlterAspect: got areas {self.min_area_ratio} to {self.max_area_ratio} and "
                f"min_aspect_ratio_change "
                f"{self.min_aspect_ratio_change}, expected areas that rise and a change above 0, at most 1"
            )

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat()
        for _ in range(10):
            part = self._part(*picture.shape[:2])
            if part is not None:
                picture = picture[part]
                break
        feature.set_mat(resize(picture, self.crop_length, self.crop_length, _MODE_NAMES[self.interp_mode]))

    def _part(self, height: int, width: int) -> tuple[slice, slice] | None:
        side = np.sqrt(drawn(self.min_area_ratio, self.max_area_ratio) * height * width)
        change = drawn(self.min_aspect_ratio_change, 1 / self.min_aspect_ratio_change)
        sides = [int(side * change), int(side / change)]
        rows, columns = sides if drawn(0.0, 1.0) >= 0.5 else sides[::-1]
        if not (1 <= rows <= height and 1 <= columns <= width):
            return None
        top, left = drawn_integer(0, height - rows), drawn_integer(0, width - columns)
        return slice(top, top + rows), slice(left, left + columns)
