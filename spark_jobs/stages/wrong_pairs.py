"""Estimate, without labels, how many of the pairs that a verifier finds in a catalogue are wrong.

There are two estimates, and the larger counts. By chance: pictures of a sample that no cue takes for duplicates are
compared with each other's copies; beyond the highest scores, the chance falls exponentially (peaks over a threshold,
Pickands 1975). This knows nothing of siblings: a shop has a few, a sample hardly any. So the second estimate takes the
pairs found for a mixture: duplicates score as changed copies do with their originals, others fall off exponentially
(positive and unlabelled data, Elkan and Noto 2008). Scores are log-odds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST = 0.0
"""The least score at which pairs are taken for a mixture: P(duplicate) = 0.5."""
_PEAKS = 30
_STEP, _STEPS = 0.5, 26
_SHARES = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 120)])
_DECAYS = np.geomspace(0.4, 3.0, 24)


def by_chance(scores: Floats, tried: int, lowest: float) -> Callable[[float], float]:
    """The chance that a pair of different pictures scores at least s, from the scores of the near ones among `tried`
    pairs.

    Beyond the 30 highest scores, the chance is taken to fall at their mean excess: a large catalogue has pairs far
    beyond what a sample shows. Below them, the scores are counted. lowest: where the fall begins if there are no
    scores.
    """
    ranked = np.sort(scores)[::-1]
    start = ranked[min(len(ranked), _PEAKS) - 1] if len(ranked) else lowest
    excess = ranked[ranked > start] - start
    decay = max(float(excess.mean()) if len(excess) else 1.0, 0.25)
    share = max(len(excess), 1) / max(tried, 1)  # one picture alone has no other to be taken for

    def chance(score: float) -> float:
        if score < start:
            return max(float((scores >= score).sum()), 1.0) / max(tried, 1)
        return share * float(np.exp(-(score - start) / decay))

    return chance


@dataclass(frozen=True)
class Mixture:
    """Wrong pairs among those found: possible `shares` of all pairs from LOWEST on, which fall at `decays`; `weights`
    says how likely each is."""

    total: float
    shares: Floats
    decays: Floats
    weights: Floats

    def wrong(self, score: float) -> float:
        """How many wrong pairs score at least so much, on average over the possible mixtures."""
        left = self.shares * np.exp(-max(score - LOWEST, 0.0) / self.decays)
        return self.total * float((self.weights * left).sum())


def mixture_of(found: Callable[[float], float], copies: Floats) -> Mixture:
    """The mixture that fits the pairs. found: how many score at least s. copies: scores of copies with their
    originals."""
    edges = LOWEST + _STEP * np.arange(_STEPS + 1)
    above = np.array([found(float(edge)) for edge in edges])
    counts = np.append(-np.diff(above), above[-1])
    kept = copies[copies >= LOWEST]
    by_copies = np.array([(kept >= edge).sum() for edge in edges])
    like_copies = np.append(-np.diff(by_copies), by_copies[-1]) + 1 / len(edges)
    like_copies = like_copies / like_copies.sum()
    shares, decays = (grid.ravel() for grid in np.meshgrid(_SHARES, _DECAYS))
    falling = np.exp(-_STEP * np.arange(_STEPS + 1) / decays[:, None])
    like_others = np.concatenate([-np.diff(falling, axis=1), falling[:, -1:]], axis=1)
    chances = shares[:, None] * like_others + (1 - shares[:, None]) * like_copies
    likelihood = (counts * np.log(np.maximum(chances, 1e-12))).sum(axis=1)
    weights = np.exp(likelihood - likelihood.max())
    return Mixture(float(above[0]), shares, decays, weights / weights.sum())
