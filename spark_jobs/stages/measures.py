"""Measure a picture: how blurred it is, how many bits its luma holds, and whether there is anything to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlcore.vision.pixels import Pixels
from spark_jobs.stages.limits import Limits

LEAST_CONTRAST = 32
"""Least difference between a stroke and its ground, in levels of 255: more than a JPEG's own noise."""


def blur_of(luma: Pixels) -> float:
    """Variance of the 4-neighbour Laplacian over the inner pixels of `luma` (H, W); 0.0 if there are none.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.
    """
    if min(luma.shape) < 3:
        return 0.0
    values = luma.astype(np.int16)
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1]
    laplacian += values[1:-1, :-2]
    laplacian += values[1:-1, 2:]
    laplacian -= values[1:-1, 1:-1] << 2
    flat = laplacian.ravel().astype(np.float32)
    mean = float(flat.sum(dtype=np.float64)) / flat.size
    return float(np.dot(flat, flat)) / flat.size - mean * mean


def strokes_of(channel: Image.Image) -> float:
    """Pixels that stand out from the commonest value of `channel` (mode L), as a multiple of the longer side.

    A line across the picture has 1.0 or more, whatever its size; as a share of all pixels it would be next to nothing.
    """
    counts: NDArray[np.int64] = np.array(channel.histogram()[:256])
    apart = np.abs(np.arange(256) - counts.argmax()) > LEAST_CONTRAST
    return float(counts[apart].sum()) / max(channel.size)


def stands_out(rgb: Image.Image, limits: Limits) -> bool:
    """Whether there are strokes on the ground, in any of the three channels."""
    return any(strokes_of(channel) >= limits.min_strokes for channel in rgb.split())


def is_blank(rgb: Image.Image, limits: Limits) -> bool:
    """Whether no channel reaches the least entropy of a picture, nor has strokes. Two colours of one luma are a picture
    too."""
    return all(channel.entropy() < limits.min_entropy for channel in rgb.split()) and not stands_out(rgb, limits)
