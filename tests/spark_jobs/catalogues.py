"""Rows of `features` of small catalogues in which pictures are copied, exactly and nearly, within days and over
them."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from data_contracts.features import FEATURES
from dlcore.search.verification import CUES, PRODUCTS, Verifier
from spark_jobs.stages.calibration import Calibration

BY_CODE = Verifier((-40.0, *[0.0] * (len(CUES) + len(PRODUCTS) - 1)), 8.0)
"""P = 0.5 where a fifth of the bits differ."""
CALIBRATION = Calibration(BY_CODE, 0.9, 30, 40, "model-1")
ARTICLES = 12


def feature_rows(rng: np.random.Generator, day: date, count: int, bits: int = 128) -> pa.Table:
    """Pictures of a few articles that all days share, every fourth an exact copy, some too far from the others; and
    unusable rows."""
    rows = []
    for number in range(count):
        article = int(rng.integers(ARTICLES))
        flips = 0 if rng.random() < 0.25 else int(rng.integers(1, 14))
        key = f"sku{article}/{day.day}-{number}" + ("#1" if number == 3 else "")
        rows.append(feature_row(day, key, article, rng.choice(bits, flips, replace=False), number % 2, bits))
    if count:
        rows.append({"day": day, "key": "broken/0", "crop": 0, "reason": "truncated"})
    return pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema())


def feature_row(day: date, key: str, article: int, flipped: Any = (), crop: int = 0, bits: int = 128) -> dict[str, Any]:
    """A used row: the article's signatures with some bits of the code flipped, and the descriptor with them."""
    own = np.random.default_rng(article)
    code = own.integers(0, 2, bits)
    descriptor = np.where(code, 1.0, -1.0) * own.uniform(0.1, 1, bits)
    code[list(flipped)] ^= 1
    descriptor[list(flipped)] *= -0.1
    return {
        "day": day,
        "key": key,
        "crop": crop,
        "reason": "ok",
        "code": np.packbits(code).tobytes(),
        "descriptor": descriptor.astype("<f2").tobytes(),
        "luminance_hash": own.bytes(32),
        "whole_hash": own.bytes(32),
        "chroma": own.bytes(128),
        "model_version": "model-1",
        "computed_by": "test",
    }
