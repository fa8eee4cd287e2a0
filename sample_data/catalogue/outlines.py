"""Outlines of drawn things: closed polygons in free units, x to the right, y down.

Every function returns float64 points of shape (N, 2); the renderer scales a drawing to the size it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


def smooth(points: ArrayLike, steps: int = 8) -> Points:
    """Closed Catmull-Rom curve through `points` (N, 2) -> (N * steps, 2)."""
    p1 = np.asarray(points, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat: Points = curve.reshape(-1, 2)
    return flat


def open_curve(points: ArrayLike, steps: int = 10) -> Points:
    """Catmull-Rom curve through `points` from the first to the last."""
    given = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i][:, None, :] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.concatenate([curve.reshape(-1, 2), given[-1:]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float, start: float = 0.0, end: float = 360.0) -> Points:
    """Ellipse, or its sector's arc from `start` to `end` degrees (0 to the right, clockwise as seen)."""
    angle = np.radians(np.linspace(start, end, 60, endpoint=end - start < 360))
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)


def superellipse(x: float, y: float, radius_x: float, radius_y: float, power: float) -> Points:
    """|x|^p + |y|^p = 1: a diamond at 1, an ellipse at 2, nearly a rectangle at 8."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack(
        [x + radius_x * np.sign(c) * np.abs(c) ** (2 / power), y + radius_y * np.sign(s) * np.abs(s) ** (2 / power)],
        axis=1,
    )


def rectangle(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Points:
    """Rectangle with rounded corners of `radius`."""
    radius = min(radius, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    if radius <= 0:
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)
    corners = (
        (x1 - radius, y0 + radius, -90),
        (x1 - radius, y1 - radius, 0),
        (x0 + radius, y1 - radius, 90),
        (x0 + radius, y0 + radius, 180),
    )
    return np.concatenate([_corner(x, y, radius, start) for x, y, start in corners])


def _corner(x: float, y: float, radius: float, start: float) -> Points:
    angle = np.radians(np.linspace(start, start + 90, 7))
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def revolve(profile: Sequence[tuple[float, float]], is_smooth: bool = True, x: float = 0.0) -> Points:
    """Silhouette of a body of revolution from (half width, y) pairs, top to bottom."""
    right = open_curve(profile) if is_smooth else np.asarray(profile, dtype=np.float64)
    right[:, 0] = np.maximum(right[:, 0], 0.004)
    left = right[::-1] * [-1, 1]
    return moved(np.concatenate([right, left]), x, 0)


def ribbon(path: ArrayLike, width: float | ArrayLike) -> Points:
    """Outline of a stroke of `width` (one, or one per point) along an open `path` (N, 2)."""
    line = np.asarray(path, dtype=np.float64)
    direction = np.gradient(line, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    side = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * (
        np.broadcast_to(np.asarray(width), len(line))[:, None] / 2
    )
    return np.concatenate([line + side, (line - side)[::-1]])


def star(x: float, y: float, outer: float, inner: float, spikes: int | np.integer, turn: float = 0.0) -> Points:
    """Star with `spikes` points; inner = outer * cos(pi / spikes) gives the regular polygon of 2 * spikes corners."""
    angle = np.arange(2 * spikes) * np.pi / spikes + turn
    radius = np.where(np.arange(2 * spikes) % 2 == 0, outer, inner)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def turned(points: Points, degrees: float, x: float = 0.0, y: float = 0.0) -> Points:
    """`points` rotated clockwise (as seen) about (x, y)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about: Points = (points - [x, y]) @ np.array([[c, s], [-s, c]]) + [x, y]
    return about


def mirrored(points: Points, x: float = 0.0) -> Points:
    """`points` mirrored about the vertical line at `x`."""
    return points * [-1, 1] + [2 * x, 0]


def moved(points: Points, x: float, y: float) -> Points:
    """`points` shifted by (x, y)."""
    shifted: Points = points + np.array([x, y])
    return shifted
