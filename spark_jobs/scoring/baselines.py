"""Codes that others would use instead of DeepBit's, scored on the same pictures: ITQ, random projection, pHash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import imagehash
import numpy as np
from PIL import Image

from dlcore.search.baselines import itq, random_projection
from dlcore.search.codes import Codes, pack
from dlcore.vision.extractor import Extractor
from dlcore.vision.pixels import Pixels
from spark_jobs.scoring.evaluation import Address, Truth, score_baseline


def baselines(
    extractor: Extractor,
    crops: Pixels,
    wholes: Pixels,
    truth: Sequence[Truth],
    look_alikes: Sequence[tuple[Address, Address, str]],
) -> dict[str, Any]:
    """Scores of plain codes (DeepBit's, ITQ, random projection, pHash), each at the distance that suits it best on this
    very truth.

    crops, wholes: RGB pictures (N, S, S, 3), row by row as `truth`.   look_alikes: pairs that are not duplicates.
    """
    real, pooled = extractor.outputs(crops, wholes)
    bits = real.shape[1]
    codes = {
        "deepbit_codes": pack(real, extractor.threshold),
        "itq": itq(pooled, bits),
        "random_projection": random_projection(pooled, bits),
        "phash_64": phash(wholes, 8),
        "phash_256": phash(wholes, 16),
    }
    return {name: score_baseline(rows, truth, look_alikes) for name, rows in codes.items()}


def phash(pictures: Pixels, size: int) -> Codes:
    """Perceptual hashes of RGB pictures (N, S, S, 3) -> (N, size * size / 8), by the package imagehash."""
    hashes = [imagehash.phash(Image.fromarray(picture), hash_size=size).hash.ravel() for picture in pictures]
    return np.packbits(np.stack(hashes), axis=1)
