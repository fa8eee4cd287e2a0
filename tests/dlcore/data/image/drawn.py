"""A drawn picture with boxes, and what a transformer makes of it."""

from __future__ import annotations

import numpy as np

from dlcore.data.image import ImageFeature, RoiLabel
from dlcore.rng import RNG

DRAWN = np.random.default_rng(2)
PICTURE = DRAWN.integers(0, 256, (12, 20, 3), dtype=np.uint8)
MEANS = DRAWN.random(PICTURE.size)


def boxed():
    return RoiLabel(np.array([[3, 1], [0, 1]]), np.array([[2, 3, 10, 9], [12, 2, 18, 8]]))


def fractions():
    label = boxed()
    return RoiLabel(label.classes, label.bboxes / [20, 12, 20, 12])


def feature(picture=PICTURE, label=None):
    return ImageFeature(picture.copy(), label)


def pixels(transformer, picture=PICTURE, label=None, seed=5):
    RNG.set_seed(seed)
    return transformer.transform(feature(picture, label)).mat()
