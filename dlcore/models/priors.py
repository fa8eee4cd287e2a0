"""Prior boxes of SSD and the code between them and true boxes (Liu et al. 2016, "SSD: Single Shot MultiBox Detector").

Boxes are (x_min, y_min, x_max, y_max), as fractions of the image unless said otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array

VARIANCES = (0.1, 0.1, 0.2, 0.2)


@dataclass(frozen=True)
class PriorLevel:
    """The priors of one feature map: per cell a square of `min_size`, one of sqrt(min_size * max_size), and per aspect
    ratio r rectangles of ratio r and 1/r with the area of the first.

    side: cells along each side of the map; step: pixels between cells; sizes in pixels of the input image.
    """

    side: int
    step: float
    min_size: float
    max_size: float
    aspect_ratios: tuple[float, ...] = (2.0,)

    @property
    def per_cell(self) -> int:
        """Priors of one cell."""
        return 2 + 2 * len(self.aspect_ratios)

    def extents(self) -> Array:
        """(per_cell, 2) widths and heights in pixels, in the order of Caffe's PriorBox with flip."""
        rows = [(self.min_size, self.min_size), ((self.min_size * self.max_size) ** 0.5,) * 2]
        for ratio in self.aspect_ratios:
            wide, high = self.min_size * ratio**0.5, self.min_size / ratio**0.5
            rows += [(wide, high), (high, wide)]
        return np.array(rows, np.float32)


def prior_boxes(levels: Sequence[PriorLevel], image_size: int, clip: bool = False) -> Array:
    """All priors (P, 4): per level by row, column, then kind; `clip` cuts them at the image's edge."""
    parts = []
    for level in levels:
        centre = ((np.arange(level.side) + 0.5) * level.step).astype(np.float32)
        y, x = np.meshgrid(centre, centre, indexing="ij")
        middle = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
        half = level.extents()[None] / 2
        parts.append(np.concatenate([middle - half, middle + half], axis=-1).reshape(-1, 4))
    boxes = np.concatenate(parts).astype(np.float32) / np.float32(image_size)
    return np.clip(boxes, 0.0, 1.0) if clip else boxes


def _centre_form(boxes: Array) -> tuple[Array, Array]:
    extent: Array = boxes[..., 2:] - boxes[..., :2]
    centre: Array = boxes[..., :2] + extent / np.float32(2)
    return centre, extent


def encode(boxes: Array, priors: Array) -> Array:
    """The regression targets (..., 4) of `boxes` against `priors` of the same shape: centre shift in prior sizes, and
    logarithm of the ratio of sizes, each divided by its variance."""
    centre, extent = _centre_form(boxes)
    prior_centre, prior_extent = _centre_form(priors)
    shift = (centre - prior_centre) / prior_extent
    scale = np.log(np.maximum(extent, 1e-8) / prior_extent)
    return (np.concatenate([shift, scale], axis=-1) / np.array(VARIANCES, np.float32)).astype(np.float32)


def decode(locations: Array, priors: Array) -> Array:
    """Boxes (..., P, 4) of predicted `locations` (..., P, 4); the inverse of `encode`, not clipped."""
    prior_centre, prior_extent = _centre_form(priors)
    scaled = locations * np.array(VARIANCES, np.float32)
    centre = prior_centre + scaled[..., :2] * prior_extent
    half = prior_extent * np.exp(scaled[..., 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def iou(first: Array, second: Array) -> Array:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4); 0 for empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - both
    overlap: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0).astype(np.float32)
    return overlap
