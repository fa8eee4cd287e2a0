"""How near two pictures must be to be looked at: near enough for copies, and so near that few others are as near by
chance.

A picture of a catalogue of N has N p(r) others within r bits by chance, so that the distance that suits a thousand
pictures hands on thousands of candidates of each at ten million. p is counted on a sample; below what a sample shows it
is taken to fall as for the independent bits that would spread as the distances do (Daugman 2003, "The importance of
being random", for iris codes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from dlcore.search.codes import Codes, distances

_SHOWN = 30
"""Pairs of a sample within a distance from which on it is believed."""


@dataclass(frozen=True)
class Chance:
    """How many pairs of different pictures of a sample are how far apart: `counts[d]` of them d bits, d = 0 .. bits."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: Codes, is_copy: NDArray[np.bool_]) -> Chance:
        """Of all pairs of the codes (S, B) but those that `is_copy` (S, S) marks."""
        apart = distances(codes, codes)[np.triu(~is_copy, 1)]
        return cls(np.bincount(apart, minlength=8 * codes.shape[1] + 1))

    def share(self, radius: int) -> float:
        """The share of pairs of different pictures within `radius` bits."""
        within, pairs = self.counts.cumsum(), self.counts.sum()
        if not pairs:
            return 0.0
        believed = int(np.searchsorted(within, min(_SHOWN, pairs)))
        if radius >= believed:
            return float(within[radius] / pairs)
        return float(within[believed] / pairs * self._by_model(radius) / max(self._by_model(believed), 1e-300))

    def _by_model(self, radius: int) -> float:
        """The share within `radius` bits if the distances were those of independent bits of the same mean and
        variance."""
        mean, independent = self._spread()
        successes = radius / (len(self.counts) - 1) * independent
        return float(betainc(max(independent - successes, 1e-9), successes + 1, 1 - mean))

    def independent(self) -> float:
        """Of how many independent bits the distances spread as."""
        return self._spread()[1]

    def _spread(self) -> tuple[float, float]:
        """The mean share of differing bits, and of how many independent bits with this mean the distances have the
        variance."""
        places = np.arange(len(self.counts)) / (len(self.counts) - 1)
        mean = float((self.counts * places).sum() / self.counts.sum())
        variance = float((self.counts * (places - mean) ** 2).sum() / self.counts.sum())
        return mean, max(mean * (1 - mean) / max(variance, 1e-12), 1.0)

    def radius(self, wanted: int, pictures: int, most: float) -> int:
        """The largest radius up to `wanted` bits within which a picture has at most `most` of the `pictures` by chance;
        at least 0."""
        return next((radius for radius in range(wanted, 0, -1) if pictures * self.share(radius) <= most), 0)
