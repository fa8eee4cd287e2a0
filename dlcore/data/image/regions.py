"""Boxes on a picture, and how they change with the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array


@dataclass(eq=False)
class RoiLabel:
    """The boxes on a picture: classes (N,) of 1-based numbers or (2, N) with whether each is difficult, and bboxes (N,
    4) as (x_min, y_min, x_max, y_max), in pixels or as fractions.

    Source: BigDL's RoiLabel.

    Raises:
        ValueError: the shapes are wrong, or the numbers of boxes differ.
    """

    classes: Array
    bboxes: Array

    def __post_init__(self) -> None:
        classes = np.asarray(self.classes, np.float32)
        self.classes = np.stack([classes, np.zeros_like(classes)]) if classes.ndim == 1 else classes
        self.bboxes = np.asarray(self.bboxes, np.float32).reshape(-1, 4)
        if self.classes.shape != (2, len(self.bboxes)):
            raise ValueError(
                f"RoiLabel: got classes {classes.shape} and {len(self.bboxes)} boxes, expected (N,) or (2, N) for N "
                f"boxes"
            )

    @classmethod
    def from_tensor(cls, rows: Any) -> RoiLabel:
        """A RoiLabel from rows (N, 6): class, difficult, x_min, y_min, x_max, y_max."""
        array = np.asarray(rows, np.float32).reshape(-1, 6)
        return cls(array[:, :2].T, array[:, 2:])

    def size(self) -> int:
        """The number of boxes."""
        return len(self.bboxes)


@dataclass(frozen=True)
class BoundingBox:
    """A part of a picture, in fractions of its size (`normalized`) or in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float
    normalized: bool = True

    def scaled(self, height: float, width: float, normalized: bool) -> BoundingBox:
        """The same part in smaller units, height x width of which make one of these."""
        return BoundingBox(self.x1 * width, self.y1 * height, self.x2 * width, self.y2 * height, normalized)

    @classmethod
    def of(cls, corners: Array, normalized: bool = True) -> BoundingBox:
        """A box from (4,) x_min, y_min, x_max, y_max."""
        x1, y1, x2, y2 = (float(corner) for corner in corners)
        return cls(x1, y1, x2, y2, normalized)

    def array(self) -> Array:
        """(4,)."""
        return np.array([self.x1, self.y1, self.x2, self.y2], np.float32)


def projected(label: RoiLabel, part: Array, need_meet_center_constraint: bool) -> RoiLabel:
    """The boxes as fractions of `part` (4,), cut off at its edge, without those that lie outside it or whose centre
    does.

    label, part: as fractions of the whole picture.
    """
    boxes = label.bboxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    keeps = ((boxes[:, :2] < part[2:]) & (boxes[:, 2:] > part[:2])).all(axis=1)
    if need_meet_center_constraint:
        keeps &= ((centres >= part[:2]) & (centres <= part[2:])).all(axis=1)
    origin, extent = np.tile(part[:2], 2), np.tile(part[2:] - part[:2], 2)
    moved = np.clip((boxes - origin) / extent, 0, 1).astype(np.float32)
    keeps &= ((moved[:, 2:] - moved[:, :2]) > 0).all(axis=1)
    return RoiLabel(label.classes[:, keeps], moved[keeps])
