"""Training of a code layer on the features that a published network pools from whole pictures. It takes seconds, since
the features are computed only once.

The layer starts as the whitened principal components of the features and learns by the objective of the small network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.models.deepbit_joint import code_head
from dlcore.nn.graph import Graph
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.schedule import Cosine
from dlcore.optim.source import BatchRequest
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG
from dlcore.search.baselines import itq, random_projection
from dlcore.search.codes import Codes, pack
from spark_jobs.scoring.evaluation import score_codes
from spark_jobs.training.feature_training import CodeCriterion
from spark_jobs.training.whole_views import PooledViews

ROWS = 4
"""Views of a source in a batch: two of its article and two of its look-alike, or four of the article."""
TERMS: dict[str, dict[str, Any]] = {
    "nt-xent alone": {"alpha": 0.0, "beta": 0.0, "gamma": 0.0},
    "without quantisation": {"alpha": 0.0},
    "without balance": {"beta": 0.0},
    "without decorrelation": {"gamma": 0.0},
}
"""The criterions that an ablation tries."""


@dataclass(frozen=True)
class HeadTraining:
    """How a code layer is trained. sources: pictures in a batch, with ROWS views each."""

    bits: int = 128
    steps: int = 1500
    sources: int = 64
    rate: float = 1e-3
    seed: int = 1


@dataclass(frozen=True)
class HeadSource:
    """Batches of pooled views: different sources, ROWS views of each."""

    views: PooledViews
    rows: list[list[NDArray[np.int64]]]

    @classmethod
    def of(cls, views: PooledViews) -> HeadSource:
        """The source of batches from these views; a source whose article has only one view is left out."""
        order = np.argsort(views.articles, kind="stable")
        by_article = np.split(order, np.flatnonzero(np.diff(views.articles[order])) + 1)
        by_source: dict[int, list[NDArray[np.int64]]] = {}
        for rows in by_article:
            by_source.setdefault(int(views.sources[rows[0]]), []).append(rows)
        return cls(views, [articles for articles in by_source.values() if all(len(rows) > 1 for rows in articles)])

    def __call__(self, request: BatchRequest) -> tuple[Array, Array]:
        """Features (N, D) and the article (N,) of each; N is a multiple of ROWS."""
        count = min(max(request.size // ROWS, 1), len(self.rows))
        chosen = request.rng.choice(len(self.rows), count, replace=False)
        rows = np.concatenate([_drawn(self.rows[number], request.rng) for number in chosen])
        return self.views.features[rows], self.views.articles[rows].astype(np.float32)


def _drawn(articles: list[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """ROWS views of a source."""
    each = ROWS // len(articles)
    return np.concatenate([rng.choice(rows, each, replace=len(rows) < each) for rows in articles])


def train_head(views: PooledViews, training: HeadTraining, criterion: CodeCriterion | None = None) -> Graph:
    """The trained layer: features (N, D) -> [codes, features]; the same for the same views and seed."""
    RNG.set_seed(training.seed)
    head = code_head(views.features.shape[1], training.bits)
    _start_from_components(head, views.features)
    optimizer = Optimizer(
        head,
        HeadSource.of(views),
        criterion or CodeCriterion(),
        MaxIteration(training.steps),
        training.sources * ROWS,
        Adam(training.rate, leaningrate_schedule=Cosine(training.steps)),
        seed=training.seed,
    )
    trained: Graph = optimizer.optimize().evaluate()
    return trained


def _start_from_components(head: Graph, features: Array) -> None:
    """The first weights: principal components, whitened and turned at random, so that no bit knows more than
    another."""
    weight = head.named_parameters()["code_head.code.weight"]
    bits = len(weight.value)
    values, components = np.linalg.eigh(np.cov(features, rowvar=False))
    spread = np.sqrt(np.maximum(values[-bits:], 1e-12))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(bits, len(spread))))[0]
    weight.value[...] = turn @ (components[:, -bits:] / spread).T


def head_codes(head: Graph, features: Array) -> Codes:
    """The bits (N, bits / 8) of features (N, D)."""
    codes, _ = head.evaluate().forward(features)
    return pack(codes)


def compared(views: PooledViews, held_out: PooledViews, training: HeadTraining) -> dict[str, float]:
    """Retrieval mAP on held-out views with every term, without each of them, and of ITQ and random projection on the
    same features.

    Each layer is trained for a fifth of the steps; ITQ and random projection are fitted on the held-out features
    themselves.
    """
    short = replace(training, steps=max(training.steps // 5, 1))
    trained = {"all terms": CodeCriterion()} | {name: replace(CodeCriterion(), **off) for name, off in TERMS.items()}
    heads = {name: train_head(views, short, criterion) for name, criterion in trained.items()}
    codes = {name: head_codes(head, held_out.features) for name, head in heads.items()}
    codes["itq"] = itq(held_out.features, training.bits)
    codes["random projection"] = random_projection(held_out.features, training.bits)
    return {name: score_codes(each, held_out.articles)["map"] for name, each in codes.items()}
