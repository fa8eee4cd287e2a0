"""Training of the small DeepBit network: what it minimises, what it sees, and how good its codes are on unseen
products.

The published objective (small quantisation loss, even bits, codes that survive a rotation) gives codes that say little
about what a picture shows. Here the transformation loss is contrastive: views of one article attract, everything else
in the batch, look-alikes first of all, repels (NT-Xent, Chen et al. 2020). The other terms of DeepBit stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.nn.criterion import (
    DecorrelationCriterion,
    EvenDistributionCriterion,
    NTXentCriterion,
    QuantisationCriterion,
)
from dlcore.nn.criterion.criterion import Criterion, Gradient
from dlcore.optim.source import BatchRequest
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.views import ViewPool
from spark_jobs.training.feature_views import ARTICLES, VIEWS, batch


@dataclass(eq=False)
class CodeCriterion(Criterion):
    """NT-Xent + alpha quantisation + beta even distribution + gamma decorrelation, all on the codes.

    output: [codes (N, bits), pooled features (N, D), which get no gradient]; target: (N,) the article that each row
    shows.
    """

    temperature: float = 0.1
    alpha: float = 0.001
    beta: float = 0.02
    gamma: float = 1.0

    def apply(self, output: list[Array], target: Array) -> tuple[float, Gradient]:
        codes, pooled = output
        terms: tuple[tuple[float, Criterion], ...] = (
            (1.0, NTXentCriterion(self.temperature)),
            (self.alpha, QuantisationCriterion(1.0)),
            (self.beta, EvenDistributionCriterion(1.0)),
            (self.gamma, DecorrelationCriterion(1.0)),
        )
        results = [(weight, *term.apply(codes, target)) for weight, term in terms if weight]

        def gradient() -> list[Array]:
            slope = sum((np.float32(weight) * back() for weight, _, back in results), np.zeros_like(codes))
            return [slope, np.zeros_like(pooled)]

        return sum(weight * loss for weight, loss, _ in results), gradient


@dataclass(frozen=True)
class ViewSource:
    """Batches of new views from a pool of products; a pool is shared by forked workers."""

    pool: ViewPool
    preprocessing: Preprocessing
    background_swaps: float = 0.4

    def __call__(self, request: BatchRequest) -> tuple[Array, Array]:
        """Inputs (N, 3, S, S) and the article that each row shows; N is a multiple of a family's views."""
        families = max(request.size // (ARTICLES * VIEWS), 1)
        pixels, articles = batch(self.pool, request.rng, families, self.preprocessing.size, self.background_swaps)
        return self.preprocessing.normalise(pixels), articles.astype(np.float32)
