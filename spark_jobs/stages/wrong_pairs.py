"""Estimate, without labels, how many of the pairs that a verifier finds in a catalogue are wrong.

There are two estimates, and the larger counts. By chance: pictures of a sample that no cue takes for duplicates are
compared with each other's copies; beyond the highest scores, the chance falls exponentially (peaks over a threshold,
Pickands 1975). This knows nothing of siblings: a shop has a few, a sample hardly any. So the second estimate takes the
pairs found for a mixture: duplicates score as changed copies do with their originals or with each other, others fall
off as a Weibull distribution does (positive and unlabelled data, Elkan and Noto 2008). Scores are log-odds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST = math.log(4.0)
"""The least score at which pairs are taken for a mixture: P(duplicate) = 0.8. The many below say little of the tail."""
_PEAKS = 30
_STEP, _STEPS = 0.5, 26
_SHARES = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 80)])
_DECAYS = np.geomspace(0.4, 3.0, 16)
_BENDS = np.array([1.0, 1.5, 2.0])
_TWINS = np.linspace(0.0, 1 / 3, 5)


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
    """Wrong pairs among those found: possible `shares` of all pairs from LOWEST on, which fall as exp(-(score /
    decay) ** bend); `weights` says how likely each is."""

    total: float
    shares: Floats
    decays: Floats
    bends: Floats
    weights: Floats

    def wrong(self, score: float) -> float:
        """How many wrong pairs score at least so much, on average over the possible mixtures."""
        left = self.shares * np.exp(-((max(score - LOWEST, 0.0) / self.decays) ** self.bends))
        return self.total * float((self.weights * left).sum())


def mixture_of(found: Callable[[float], float], copies: Floats, twins: Floats, scale: float = 1.0) -> Mixture:
    """The mixture that fits the pairs of a catalogue.

    found: how many of them score at least s. copies: scores of changed copies with their originals. twins: scores of
    changed copies with each other, if they are of one original. scale: how many of the pairs `found` each pair that was
    seen stands for; only those seen are evidence.

    A catalogue has twins as well, and they score lower, since both were changed: up to a third of its duplicates are
    taken to be such, which is their share in a group of three. Without this, they would count as wrong. The wrong pairs
    fall exponentially (bend 1) or faster: with the exponential alone, the many at low scores would make a long tail.
    """
    steps = _STEP * np.arange(_STEPS + 1)
    seen = _per_step(np.array([found(LOWEST + float(step)) for step in steps])) / scale
    like_copies = _shares_per_step(copies, LOWEST + steps)
    like_twins = _shares_per_step(twins, LOWEST + steps) if len(twins) else like_copies
    shares, decays, bends, both = (grid.ravel() for grid in np.meshgrid(_SHARES, _DECAYS, _BENDS, _TWINS))
    falling = np.exp(-((steps / decays[:, None]) ** bends[:, None]))
    like_others = np.concatenate([-np.diff(falling, axis=1), falling[:, -1:]], axis=1)
    like_right = (1 - both[:, None]) * like_copies + both[:, None] * like_twins
    chances = shares[:, None] * like_others + (1 - shares[:, None]) * like_right
    likelihood = (seen * np.log(np.maximum(chances, 1e-12))).sum(axis=1)
    weights = np.exp(likelihood - likelihood.max())
    return Mixture(scale * float(seen.sum()), shares, decays, bends, weights / weights.sum())


def _per_step(above: Floats) -> Floats:
    """Counts from each edge on, (E,), as counts from each edge to the next, the last one open."""
    return np.append(-np.diff(above), above[-1])


def _shares_per_step(scores: Floats, edges: NDArray[np.floating]) -> Floats:
    """The share of the scores from the first edge on that lies between each edge and the next; none is quite 0."""
    shares = _per_step(np.array([(scores >= edge).sum() for edge in edges])) + 1 / len(edges)
    return np.asarray(shares / shares.sum())
