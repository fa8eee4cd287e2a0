"""Boxes: how much they overlap, and SSD's code between them and its priors (Liu et al. 2016).

A box is (x_min, y_min, x_max, y_max), in any unit for `iou`, as fractions of the image elsewhere.
"""

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


def decode(locations: Array, priors: Array) -> Array:
    """Boxes (..., P, 4) of predicted `locations` (..., P, 4); the inverse of `encode`, not clipped."""
    prior_centre, prior_extent = _centre_form(priors)
    scaled = locations * np.array(VARIANCES, np.float32)
    centre = prior_centre + scaled[..., :2] * prior_extent
    half = prior_extent * np.exp(scaled[..., 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)
