"""How far from 0 the values of a result lie that eight bits should hold: the whole of them, nearly all, or as many as
blur least.

Nagel et al. 2021, A White Paper on Neural Network Quantization; Migacz 2017, 8-bit Inference with TensorRT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array

BINS = 2048
SHARE = 0.9999
_STEP = 16  # bins from one limit that is tried to the next

Counts = NDArray[np.int64]


@dataclass
class Observed:
    """The values of a result seen so far: the lowest, the highest, and how many lie in each of `BINS` shares of the
    largest size."""

    low: float = np.inf
    high: float = -np.inf
    counts: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))

    @property
    def largest(self) -> float:
        """The largest size of a value."""
        return max(abs(self.low), abs(self.high), 0.0)

    def widen(self, values: Array) -> None:
        """Let the range take in `values`.

        Raises:
            ValueError: some are no numbers.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise ValueError(f"calibrate: got values from {low} to {high} for a sample, expected finite numbers")
        self.low, self.high = min(self.low, low), max(self.high, high)

    def count(self, values: Array) -> None:
        """Count `values`, which the range has taken in before, but for zeros: every scale has one, and a ReLU gives so
        many that they would decide alone.
        """
        if self.largest > 0:
            sizes = np.abs(values[values != 0])
            bins = np.minimum(sizes * np.float32(BINS / self.largest), BINS - 1).astype(np.int64)
            self.counts += np.bincount(bins, minlength=BINS)

    def within(self, limit: float) -> tuple[float, float]:
        """The range, cut off at `limit` on both sides."""
        if self.low > self.high:
            return 0.0, 0.0
        return max(self.low, -limit), min(self.high, limit)


def nearly_all(counts: Counts, levels: int) -> float:
    """The share of the largest size within which `SHARE` of the values lie."""
    reached = np.cumsum(counts) >= SHARE * counts.sum()
    return float(np.argmax(reached) + 1) / BINS


def least_divergence(counts: Counts, levels: int) -> float:
    """The share of the largest size that, cut off there and stored in so many `levels`, tells the values apart best
    (Kullback-Leibler)."""
    ends = range(max(levels, _STEP), BINS + 1, _STEP)
    return min(ends, key=lambda end: _divergence(counts, end, levels)) / BINS


def _divergence(counts: Counts, end: int, levels: int) -> float:
    given = counts[:end].astype(np.float64)
    place = np.arange(end) * levels // end
    sums, filled = np.bincount(place, given), np.bincount(place, given > 0)
    stored = np.where(given > 0, (sums / np.maximum(filled, 1))[place], 0.0)
    given[-1] += counts[end:].sum()
    given, stored = given / max(given.sum(), 1.0), stored / max(stored.sum(), 1.0)
    some = given > 0
    return float((given[some] * np.log(given[some] / np.maximum(stored[some], 1e-12))).sum())


METHODS: Mapping[str, Callable[[Counts, int], float]] = {
    "min_max": lambda counts, levels: 1.0,
    "percentile": nearly_all,
    "kl": least_divergence,
}
"""Method -> the share of the largest size up to which values are told apart, of their counts and the number of levels
above 0."""


def chosen(observed: Observed, method: str) -> tuple[float, float]:
    """The range that `method`, of `METHODS`, stores."""
    if not observed.counts.any():
        return observed.within(observed.largest)
    levels = 256 if observed.low >= 0 else 128
    return observed.within(observed.largest * METHODS[method](observed.counts, levels))
