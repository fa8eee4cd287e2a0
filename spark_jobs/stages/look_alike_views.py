"""Make pictures of other articles that look alike from a shop's own pictures, for the report of a calibration.

The report says how many of each kind the threshold takes for copies. Only whole pictures in another colour, which are
not made here, limit the threshold.

A picture is roughly taken apart, at the box of its crop, into the thing and its backdrop. The backdrop is the picture
filled in smoothly behind the box (pull-push, Gortler et al. 1996, "The Lumigraph"); the thing is what differs from it.
Then a thing can be put before another's backdrop, in place of another thing, or in another colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dlcore.vision.pixels import Pixels

Box = tuple[int, int, int, int]

_APART = 28  # grey levels of a channel that tell a thing from the backdrop behind it
_LEAST_SHARE = 0.08  # of the box that a thing fills: with less it was not told apart
_INSIDE = 0.12  # cut off each side where a picture has no box
_EDGE = 2


@dataclass(frozen=True)
class TakenApart:
    """A thing cut out (RGBA), the backdrop without it (RGB), and the box where it stood."""

    thing: Image.Image
    backdrop: Image.Image
    box: Box


def taken_apart(pixels: Pixels, box: Box | None) -> TakenApart:
    """A picture (H, W, 3) and the corners of its thing in pixels, None if unknown -> thing and backdrop."""
    x_min, y_min, x_max, y_max = inner = _inner_box(box, pixels.shape[1], pixels.shape[0])
    hole = np.zeros(pixels.shape[:2], bool)
    hole[y_min:y_max, x_min:x_max] = True
    backdrop = filled(pixels, hole)
    part = pixels[y_min:y_max, x_min:x_max]
    apart = np.abs(part.astype(np.int16) - backdrop[y_min:y_max, x_min:x_max]).max(axis=2)
    thing = Image.fromarray(part).convert("RGBA")
    thing.putalpha(_outline(apart > _APART))
    return TakenApart(thing, Image.fromarray(backdrop), inner)


def placed(thing: Image.Image, backdrop: Image.Image, box: Box) -> Pixels:
    """A thing in the middle of a box of a backdrop, as large as fits -> pixels (H, W, 3)."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(width / thing.width, height / thing.height)
    size = max(round(thing.width * scale), 8), max(round(thing.height * scale), 8)
    scaled = thing.resize(size, Image.Resampling.BICUBIC)
    picture = backdrop.copy()
    picture.paste(scaled, (box[0] + (width - size[0]) // 2, box[1] + (height - size[1]) // 2), scaled)
    return np.asarray(picture)


def filled(pixels: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """A picture (H, W, 3) with its `hole` (H, W) filled in smoothly from what surrounds it."""
    known = np.concatenate([pixels * ~hole[..., None], ~hole[..., None]], axis=2).astype(np.float32)
    levels = [known]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(_halved(levels[-1]))
    colours = levels[-1][..., :3] / np.maximum(levels[-1][..., 3:], 1e-6)
    for level in levels[-2:0:-1]:
        colours = level[..., :3] + _widened(colours, level) * (1 - level[..., 3:])
    return np.where(hole[..., None], _widened(colours, known), pixels)


def _widened(colours: NDArray[np.floating[Any]], level: NDArray[np.float32]) -> Pixels:
    """Colours (H, W, 3) smoothly enlarged to the size of a level."""
    smooth = np.clip(np.round(colours), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(smooth).resize(level.shape[1::-1], Image.Resampling.BILINEAR))


def _halved(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours times their weight, and the weight, (H, W, 4) -> the same of squares of four pixels, each known if any of
    the four is."""
    height, width = level.shape[:2]
    even = np.pad(level, ((0, height % 2), (0, width % 2), (0, 0))) if height % 2 or width % 2 else level
    rows = even[::2] + even[1::2]
    sums = rows[:, ::2] + rows[:, 1::2]
    return np.asarray(sums / np.maximum(sums[..., 3:], 1.0))


def _inner_box(box: Box | None, width: int, height: int) -> Box:
    """The box a little inside the picture, so that something is known around it."""
    x, y = (round(_INSIDE * side) for side in (width, height))
    x_min, y_min, x_max, y_max = box or (x, y, width - x, height - y)
    left, top = min(max(x_min, _EDGE), width - 2), min(max(y_min, _EDGE), height - 2)
    return left, top, max(min(x_max, width - _EDGE), left + 1), max(min(y_max, height - _EDGE), top + 1)


def _outline(differs: NDArray[np.bool_]) -> Image.Image:
    """The mask (L) of a thing, from the pixels that differ; an ellipse if hardly any do."""
    most = _counted(differs, 5) > 12
    closed = _counted(_counted(most, 5) > 0, 3) == 9
    mask = Image.fromarray(closed.astype(np.uint8) * 255)
    if closed.mean() < _LEAST_SHARE:
        mask = Image.new("L", mask.size)
        ImageDraw.Draw(mask).ellipse((0, 0, mask.width - 1, mask.height - 1), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(1))


def _counted(mask: NDArray[np.bool_], side: int) -> NDArray[np.uint8]:
    """How many pixels of a mask (H, W) are in the square of `side` around each; beyond its edge the mask goes on as
    there."""
    height, width = mask.shape
    around = np.pad(mask.astype(np.uint8), side // 2, mode="edge")
    rows = np.stack([around[n : n + height] for n in range(side)]).sum(axis=0, dtype=np.uint8)
    counts: NDArray[np.uint8] = np.stack([rows[:, n : n + width] for n in range(side)]).sum(axis=0, dtype=np.uint8)
    return counts
