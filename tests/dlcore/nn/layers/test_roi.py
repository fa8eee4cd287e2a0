"""Layers of the family roi: a row per layer and variant, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import Pooler, RoiAlign, RoiPooling
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import apart, normal


def part(index, count, first, size):
    """The cells that share something with the index-th of `count` parts of `size` cells."""
    return [first + k for k in range(size) if k * count < (index + 1) * size and (k + 1) * count > index * size]


def slow_pooling(module, x):
    features, regions = x
    y = np.zeros((len(regions), features.shape[1], module.pooled_h, module.pooled_w))
    for r, (image, *box) in enumerate(regions):
        left, top, right, bottom = (int(np.floor(side * module.spatial_scale + 0.5)) for side in box)
        high, wide = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for i, j in np.ndindex(module.pooled_h, module.pooled_w):
            rows, columns = part(i, module.pooled_h, top, high), part(j, module.pooled_w, left, wide)
            cells = [
                features[int(image), :, a, b]
                for a in rows
                for b in columns
                if 0 <= a < features.shape[2] and 0 <= b < features.shape[3]
            ]
            y[r, :, i, j] = np.max(cells, axis=0) if cells else 0
    return y


def interpolated(plane, y, x):
    """The value at a place, by the four cells around it; 0 a cell and more outside."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    low, left = int(y), int(x)
    high, right = min(low + 1, height - 1), min(left + 1, width - 1)
    upper = plane[low, left] * (1 - (x - left)) + plane[low, right] * (x - left)
    lower = plane[high, left] * (1 - (x - left)) + plane[high, right] * (x - left)
    return upper * (1 - (y - low)) + lower * (y - low)


def aligned(features, region, scale, ratio, size):
    """(C, *size) of one region (5,)."""
    left, top, right, bottom = (side * scale - 0.5 for side in region[1:])
    high, wide = (bottom - top) / size[0], (right - left) / size[1]
    rows, columns = ratio or int(np.ceil(high)), ratio or int(np.ceil(wide))
    y = np.zeros((features.shape[1], *size))
    for c, i, j in np.ndindex(*y.shape):
        samples = [
            interpolated(
                features[int(region[0]), c],
                top + (i + (a + 0.5) / rows) * high,
                left + (j + (b + 0.5) / columns) * wide,
            )
            for a in range(rows)
            for b in range(columns)
        ]
        y[c, i, j] = np.mean(samples)
    return y


def slow_align(module, x):
    features, regions = x
    regions = np.pad(regions, [(0, 0), (1, 0)]) if regions.shape[1] == 4 else regions
    size = module.pooled_h, module.pooled_w
    return np.array([aligned(features, r, module.spatial_scale, module.sampling_ratio, size) for r in regions])


def slow_pooler(module, x):
    levels, tables = x
    y = []
    for image, table in enumerate(tables if isinstance(tables, list) else [tables]):
        for box in table:
            side = np.sqrt((box[2] - box[0] + 1) * (box[3] - box[1] + 1))
            place = int(np.clip(np.floor(4 + np.log2(side / 224 + 1e-6)), 2, 3)) - 2
            region = np.array([image, *box])
            size = module.resolution, module.resolution
            y.append(aligned(levels[place], region, module.scales[place], module.sampling_ratio, size))
    return np.array(y)


regions = np.array([[0, 0, 0, 3, 3], [1, 1, 1, 5, 5], [0, 4, -3, 9, 2], [1, 8, 8, 9, 9]], np.float32)
boxes = np.array([[0.3, 0.2, 5.1, 4.4], [2, 1, 2.5, 9.7], [-9, -8, 3, 2.0], [1, 1, 1, 1]], np.float32)
levels = [normal(2, 3, 8, 8), normal(2, 3, 4, 4)]
small, large = np.array([[3, 4, 20, 30], [0, 0, 9, 5]], np.float32), np.array([[2, 1, 120, 130]], np.float32)


def by_region(make, x, formula):
    """The gradient of the regions, which place cells and samples, is left out by design."""
    return LayerCase(make, x, formula, has_batch=False, is_differentiable=False)


CASES = {
    "RoiPooling": by_region(lambda: RoiPooling(2, 3, 1.0), [apart(2, 3, 6, 6), regions], slow_pooling),
    "RoiPooling-scaled": by_region(
        lambda: RoiPooling(3, 2, 0.5), [apart(2, 3, 6, 6), regions * [1, 2, 2, 2, 2]], slow_pooling
    ),
    "RoiAlign": by_region(lambda: RoiAlign(1.0, 2, 2, 3), [normal(1, 3, 6, 7), boxes], slow_align),
    "RoiAlign-images": by_region(
        lambda: RoiAlign(0.5, 0, 2, 2), [normal(2, 3, 6, 7), np.abs(regions[[1, 1, 0]])], slow_align
    ),
    "Pooler": by_region(lambda: Pooler(2, [0.25, 0.125], 2), [levels, [small, large]], slow_pooler),
    "Pooler-single": by_region(
        lambda: Pooler(2, [0.25, 0.125], 2),
        [[level[:1] for level in levels], np.concatenate([small, large])],
        slow_pooler,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_the_features(name):
    """Linear in the features where no maximum changes: a small change changes the output by its product with the
    gradient."""
    case = CASES[name]
    module, (features, places) = case.make(), case.x
    parts = features if isinstance(features, list) else [features]
    grad = normal(*module.forward(case.x).shape, seed=9)
    back = module.backward(case.x, grad)[0]
    for i, part in enumerate(parts):
        step = 1e-2 * normal(*part.shape, seed=11)
        changed = [p + step if k == i else p for k, p in enumerate(parts)]
        ends = [module.forward([x if isinstance(features, list) else x[0], places]) for x in (changed, parts)]
        expected = np.vdot(grad, ends[0] - ends[1])
        assert np.vdot(back[i] if isinstance(features, list) else back, step) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (RoiPooling(2, 2, 1.0), [normal(1, 2, 3, 3), np.ones((2, 4))], r"got regions \(2, 4\), expected \(R, 5\)"),
        (RoiPooling(2, 2, 1.0), [normal(1, 2, 3, 3), np.ones((2, 5))], "got a region of image 1 of 1, expected 0 to 0"),
        (RoiAlign(1.0, 2, 2, 2), [normal(2, 2, 3, 3), np.ones((2, 4))], r"got regions \(2, 4\), expected \(R, 5\)"),
        (RoiAlign(1.0, 2, 2, 2), [normal(1, 2, 3, 3), np.array([[2, 2, 1, 3]])], "whose end is before its start"),
        (
            RoiAlign(1.0, 0, 2, 2),
            [normal(1, 2, 3, 3), np.array([[0, np.nan, 1, 3]])],
            "got a region with NaN or infinity",
        ),
        (RoiPooling(2, 2, 1.0), normal(1, 2, 3, 3), "expected a table of arrays"),
        (RoiAlign(1.0, 2, 2, 2), [normal(1, 2, 3, 3)], "expected a table of two entries"),
        (Pooler(2, [0.25], 2), [levels, small], "got 2 levels, and regions of 1 images for 2, expected 1 levels"),
    ],
)
def test_what_does_not_fit_is_refused(layer, x, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(x)
