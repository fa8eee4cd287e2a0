"""Boxes: how much they overlap, SSD's priors (Liu et al. 2016), and the code between boxes and priors.

A box is (x_min, y_min, x_max, y_max), in any unit for `iou`, as fractions of the image elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcore.activity import Array

Variances = tuple[float, float, float, float]
VARIANCES: Variances = (0.1, 0.1, 0.2, 0.2)
_TINY = np.float32(1e-12)


def iou(first: Array, second: Array) -> Array:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4); 0 for boxes without area."""
    x0, y0, x1, y1 = np.ascontiguousarray(first.T)[:, :, None]
    left, top, right, bottom = np.ascontiguousarray(second.T)
    width = np.maximum(np.minimum(x1, right) - np.maximum(x0, left), 0)
    height = np.maximum(np.minimum(y1, bottom) - np.maximum(y0, top), 0)
    shared = width * height
    union = (x1 - x0) * (y1 - y0) + (right - left) * (bottom - top) - shared
    overlap: Array = np.divide(shared, np.maximum(union, _TINY), dtype=np.float32)
    return overlap


def _centre_form(boxes: Array) -> tuple[Array, Array]:
    extent: Array = boxes[..., 2:] - boxes[..., :2]
    centre: Array = boxes[..., :2] + extent / np.float32(2)
    return centre, extent


def encode(boxes: Array, priors: Array, variances: Variances = VARIANCES) -> Array:
    """The regression targets (..., 4) of `boxes` against `priors` of the same shape: centre shift in prior sizes, and
    logarithm of the ratio of sizes, each divided by its variance."""
    centre, extent = _centre_form(boxes)
    prior_centre, prior_extent = _centre_form(priors)
    shift = (centre - prior_centre) / prior_extent
    scale = np.log(np.maximum(extent, 1e-8) / prior_extent)
    return (np.concatenate([shift, scale], axis=-1) / np.array(variances, np.float32)).astype(np.float32)


def decode(locations: Array, priors: Array, variances: Variances | Array = VARIANCES) -> Array:
    """Boxes (..., P, 4) of predicted `locations` (..., P, 4); the inverse of `encode`, not clipped.

    variances: one for each coordinate, (4,), or also for each prior, (P, 4).
    """
    prior_centre, prior_extent = _centre_form(priors)
    scaled = locations * np.asarray(variances, np.float32)
    centre = prior_centre + scaled[..., :2] * prior_extent
    half = prior_extent * np.exp(scaled[..., 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def prior_extents(min_size: float, max_size: float | None, ratios: Sequence[float]) -> Array:
    """(K, 2) widths and heights: a square of `min_size`, one of sqrt(min_size max_size) if there is a max_size, and for
    each ratio of width to height a rectangle with the area of the first."""
    rows = [(min_size, min_size)]
    if max_size is not None:
        rows.append(((min_size * max_size) ** 0.5,) * 2)
    rows += [(min_size * ratio**0.5, min_size / ratio**0.5) for ratio in ratios]
    return np.array(rows, np.float32)


def priors_of_cells(extents: Array, cells: tuple[int, int], step: tuple[float, float], offset: float = 0.5) -> Array:
    """(rows columns K, 4) boxes of these `extents` (K, 2) around the middle of each cell: by row, column, then kind.

    cells: rows and columns; step: the height and the width of a cell; offset: where in it the middle is.
    """
    y, x = (((np.arange(count) + offset) * size).astype(np.float32) for count, size in zip(cells, step, strict=True))
    middle = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
    half = extents[None] / 2
    return np.concatenate([middle - half, middle + half], axis=-1).reshape(-1, 4).astype(np.float32)
