"""How near two pictures must be to be verified: near enough for copies, and so near that few others are as near by
chance.

In a catalogue of N pictures, each has N p(r) others within r bits by chance. A distance that suits a thousand pictures
therefore hands on thousands of candidates for each of ten million. p is counted on a sample. Below what a sample shows,
it is taken to fall as for independent bits with the same spread of distances (Daugman 2003, "The importance of being
random", for iris codes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from dlcore.search.codes import Codes, distances

_SHOWN = 30
"""How many pairs of a sample must lie within a distance for its count to be trusted."""


@dataclass(frozen=True)
class Chance:
    """How far apart the different pictures of a sample are: `counts[d]` pairs are d bits apart, d = 0 .. bits."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: Codes, is_copy: NDArray[np.bool_]) -> Chance:
        """The distances of all pairs of the codes (S, B), except those that `is_copy` (S, S) marks."""
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
        """The share within `radius` bits if the distances were those of independent bits with the same mean and
        variance."""
        mean, independent = self._spread()
        successes = radius / (len(self.counts) - 1) * independent
        return float(betainc(max(independent - successes, 1e-9), successes + 1, 1 - mean))

    def independent(self) -> float:
        """The number of independent bits whose distances would spread as these do."""
        return self._spread()[1]

    def _spread(self) -> tuple[float, float]:
        """The mean share of differing bits, and the number of independent bits that, with this mean, have the variance
        of the distances."""
        places = np.arange(len(self.counts)) / (len(self.counts) - 1)
        mean = float((self.counts * places).sum() / self.counts.sum())
        variance = float((self.counts * (places - mean) ** 2).sum() / self.counts.sum())
        return mean, max(mean * (1 - mean) / max(variance, 1e-12), 1.0)

    def radius(self, wanted: int, pictures: int, most: float) -> int:
        """The largest radius, from 0 up to `wanted` bits, within which a picture has at most `most` of the `pictures`
        by chance."""
        return next((radius for radius in range(wanted, 0, -1) if pictures * self.share(radius) <= most), 0)
