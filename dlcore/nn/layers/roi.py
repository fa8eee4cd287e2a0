"""Layers that cut regions of interest out of feature maps and bring them to one size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Array, Pullback, zeros_like
from dlcore.nn.layers.table import entries, pair
from dlcore.nn.module import Module
from dlcore.nn.shapes import blank

__all__ = ["Pooler", "RoiAlign", "RoiPooling"]


def _image_of(regions: Array, images: int, label: str) -> Any:
    """The image of each region, its first column.

    Raises:
        ValueError: there is no such image, there are no five columns, or a region is not finite.
    """
    if regions.ndim != 2 or regions.shape[1] != 5:
        raise ValueError(
            f"{label}: got regions {regions.shape}, expected (R, 5): the image, x_min, y_min, x_max, y_max"
        )
    if not np.isfinite(regions).all():
        raise ValueError(
            f"{label}: got a region with NaN or infinity, expected finite boxes; leave out those that are not"
        )
    numbers = regions[:, 0].astype(np.intp)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < images:
        raise ValueError(f"{label}: got a region of image {numbers.max()} of {images}, expected 0 to {images - 1}")
    return numbers


@dataclass(eq=False)
class RoiPooling(Module):
    """The maximum of each of pooled_h x pooled_w parts of a region; 0 for a part outside the image.

    x: [features (N, C, H, W), regions (R, 5)] -> (R, C, pooled_h, pooled_w). A region is the 0-based image and a box
    x_min, y_min, x_max, y_max in pixels. Multiplied by spatial_scale and rounded, these are the first and the last
    cells. Parts may share cells.
    Regions have no gradient.
    Source: BigDL's RoiPooling; Girshick 2015 (Fast R-CNN).

    Raises:
        ValueError: a region of another form, or of an image that is not there.
    """

    pooled_w: int
    pooled_h: int
    spatial_scale: float

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        features, regions = pair(x, self)
        images = _image_of(regions, len(features), self.label())
        cells = np.floor(regions[:, 1:] * self.spatial_scale + 0.5).astype(np.intp)
        y = np.zeros((len(regions), features.shape[1], self.pooled_h, self.pooled_w), features.dtype)
        planes, taken = np.arange(features.shape[1]), []
        for region, (image, (left, top, right, bottom)) in enumerate(zip(images, cells, strict=True)):
            rows = _parts(top, bottom, self.pooled_h, features.shape[2])
            columns = _parts(left, right, self.pooled_w, features.shape[3])
            for i, (y0, y1) in enumerate(rows):
                for j, (x0, x1) in enumerate(columns):
                    if y0 < y1 and x0 < x1:
                        best = features[image, :, y0:y1, x0:x1].reshape(len(planes), -1).argmax(axis=1)
                        place = y0 + best // (x1 - x0), x0 + best % (x1 - x0)
                        y[region, :, i, j] = features[(image, planes, *place)]
                        taken.append((image, (region, i, j), place))

        def pull(grad: Array) -> list[Array]:
            back = np.zeros_like(features, grad.dtype)
            for image, (region, i, j), place in taken:
                back[(image, planes, *place)] += grad[region, :, i, j]
            return [back, zeros_like(regions)]  # type: ignore[list-item]

        return y, pull

    def outline(self, x: list[Array]) -> Array:
        _image_of(x[1], len(x[0]) + 1, self.label())  # the ones that a shape is traced with name the second image
        return blank((len(x[1]), x[0].shape[1], self.pooled_h, self.pooled_w))  # type: ignore[no-any-return]


def _parts(first: int, last: int, count: int, size: int) -> list[tuple[int, int]]:
    """[start, end) of each of `count` equal parts of the cells from `first` to `last`, within `size` cells."""
    length, index = max(last - first + 1, 1), np.arange(count)
    starts = first + index * length // count
    ends = first - (-(index + 1) * length // count)
    return list(zip(np.clip(starts, 0, size).tolist(), np.clip(ends, 0, size).tolist(), strict=True))


@dataclass(eq=False)
class RoiAlign(Module):
    """The mean of bilinearly interpolated samples in each of pooled_h x pooled_w parts of a region.

    x: [features (N, C, H, W), regions (R, 4) of the only image, or (R, 5) with the 0-based image before the box] -> (R,
    C, pooled_h, pooled_w). Boxes are x_min, y_min, x_max, y_max in pixels; a cell's value stands at its middle. A part
    has sampling_ratio^2 samples, or about one per cell if that is not positive. Samples that lie a cell or more outside
    count 0.
    Regions have no gradient.
    Source: BigDL's RoiAlign; He et al. 2017 (Mask R-CNN).

    Raises:
        ValueError: a region of another form, of an image that is not there, or whose end is before its start.
    """

    spatial_scale: float
    sampling_ratio: int
    pooled_h: int
    pooled_w: int

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        features, regions = pair(x, self)
        numbered = _numbered(features, regions)
        images = _image_of(numbered, len(features), self.label())
        edges = numbered[:, 1:].astype(np.float64) * self.spatial_scale - 0.5
        if (edges[:, 2:] < edges[:, :2]).any():
            raise ValueError(f"{self.label()}: got a region whose end is before its start, expected min <= max")
        kind = features.dtype
        down = [self._samples(box[1], box[3], self.pooled_h, features.shape[2]).astype(kind) for box in edges]
        across = [self._samples(box[0], box[2], self.pooled_w, features.shape[3]).astype(kind) for box in edges]
        y = np.empty((len(regions), features.shape[1], self.pooled_h, self.pooled_w), kind)
        for region, image in enumerate(images):
            y[region] = down[region] @ features[image] @ across[region].T

        def pull(grad: Array) -> list[Array]:
            back = np.zeros_like(features, grad.dtype)
            for region, image in enumerate(images):
                back[image] += down[region].T @ grad[region] @ across[region]
            return [back, zeros_like(regions)]  # type: ignore[list-item]

        return y, pull

    def _samples(self, start: float, end: float, parts: int, size: int) -> Array:
        """(parts, size) the weight of each cell in the mean of each part, along one dimension: bilinear weights are
        products."""
        step = (end - start) / parts
        count = self.sampling_ratio if self.sampling_ratio > 0 else int(np.ceil(step))
        places = start + (np.arange(parts * count) + 0.5) * step / max(count, 1)
        inside = (places >= -1) & (places <= size)
        places = np.clip(places, 0, size - 1)
        low = np.minimum(places.astype(np.intp), size - 1)
        share = places - low
        weights = np.zeros((parts * count, size))
        sample = np.arange(len(places))
        weights[sample, low] = (1 - share) * inside
        weights[sample, np.minimum(low + 1, size - 1)] += share * inside
        means: Array = weights.reshape(parts, count, size).sum(axis=1) / max(count, 1)
        return means

    def outline(self, x: list[Array]) -> Array:
        _image_of(_numbered(*x), len(x[0]) + 1, self.label())
        return blank((len(x[1]), x[0].shape[1], self.pooled_h, self.pooled_w))  # type: ignore[no-any-return]


def _numbered(features: Array, regions: Array) -> Array:
    """Regions with the number of their image, which may be left out when there is one."""
    is_plain = regions.ndim == 2 and regions.shape[1] == 4 and len(features) == 1
    return np.pad(regions, [(0, 0), (1, 0)]) if is_plain else regions


@dataclass(eq=False)
class Pooler(Module):
    """RoiAlign on the level of a feature pyramid that fits a region's size.

    x: [[level (N, C, H, W), ...], regions (R, 4) of the only image, or a table of those of each image] -> (R, C,
    resolution, resolution), the images' regions one after the other. scales: that of each level, each half of the one
    before; a region of width w and height h is on level floor(4 + log2(sqrt(w h) / 224)), where level k has scale 2^-k.
    Source: BigDL's Pooler; Lin et al. 2017 (FPN).

    Raises:
        ValueError: as many levels as scales are expected, and regions for each image.
    """

    resolution: int
    scales: list[float]
    sampling_ratio: int
    poolers: list[RoiAlign] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        size = self.resolution
        self.poolers = [RoiAlign(scale, self.sampling_ratio, size, size) for scale in self.scales]

    def _levels(self, regions: Array) -> Any:
        """The place in `scales` of each region (R, 4)."""
        lowest, highest = (int(-np.log2(self.scales[i])) for i in (0, -1))
        area = np.prod(regions[:, 2:].astype(np.float64) - regions[:, :2] + 1, axis=1)
        levels = np.floor(4 + np.log2(np.sqrt(np.maximum(area, 0)) / 224 + 1e-6))
        return np.clip(levels, lowest, highest).astype(np.intp) - lowest

    def _gathered(self, x: list[Any]) -> tuple[list[Array], Array]:
        """The levels, and the regions (R, 5) of all images."""
        levels, regions = entries(x, self, 2)
        tables = regions if isinstance(regions, list) else [regions]
        if len(levels) != len(self.scales) or len(tables) != len(levels[0]):
            raise ValueError(
                f"{self.label()}: got {len(levels)} levels, and regions of {len(tables)} images for {len(levels[0])}, "
                f"expected {len(self.scales)} levels and a table of the regions of each image"
            )
        numbers = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        return levels, np.column_stack([numbers, np.concatenate(tables)]).astype(levels[0].dtype)

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        levels, regions = self._gathered(x)
        places = self._levels(regions[:, 1:])
        y = np.empty((len(regions), levels[0].shape[1], self.resolution, self.resolution), levels[0].dtype)
        pullbacks = []
        for place, (level, pooler) in enumerate(zip(levels, self.poolers, strict=True)):
            y[places == place], pullback = pooler.apply([level, regions[places == place]])
            pullbacks.append(pullback)

        def pull(grad: Array) -> list[Any]:
            back = [pullback(grad[places == place])[0] for place, pullback in enumerate(pullbacks)]
            return [back, zeros_like(x[1])]

        return y, pull

    def outline(self, x: list[Any]) -> Array:
        levels, regions = self._gathered(x)
        return blank((len(regions), levels[0].shape[1], self.resolution, self.resolution))  # type: ignore[no-any-return]
