"""Prior boxes of SSD (Liu et al. 2016, "SSD: Single Shot MultiBox Detector").

Boxes are (x_min, y_min, x_max, y_max), as fractions of the image unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.boxes import prior_extents, priors_of_cells


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
        flipped = [part for ratio in self.aspect_ratios for part in (ratio, 1 / ratio)]
        return prior_extents(self.min_size, self.max_size, flipped)


def prior_boxes(levels: Sequence[PriorLevel], image_size: int, clip: bool = False) -> Array:
    """All priors (P, 4): per level by row, column, then kind; `clip` cuts them at the image's edge."""
    parts = [priors_of_cells(level.extents(), (level.side, level.side), (level.step, level.step)) for level in levels]
    boxes = np.concatenate(parts) / np.float32(image_size)
    return np.clip(boxes, 0.0, 1.0) if clip else boxes
