"""Neural collaborative filtering against matrix factorisation: which of 100 things did a person take, hidden from
both?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dlcore.activity import Array
from dlcore.models.ncf import neural_cf
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.source import BatchRequest
from dlcore.optim.trigger import MaxEpoch
from dlcore.rng import RNG
from sample_data.ratings import Pairs, taken

USERS, ITEMS, EACH = 1000, 500, 21
NEGATIVES = 4


@dataclass(frozen=True)
class Drawn:
    """Pairs (N, 2) of users and items, from 1: each one taken, with class 2, and four at random, with class 2 if taken,
    else 1."""

    known: Pairs
    seen: Array
    records: int = USERS * EACH * (1 + NEGATIVES)

    def __call__(self, request: BatchRequest) -> tuple[Pairs, Pairs]:
        users = request.rng.integers(0, USERS, request.size // (1 + NEGATIVES))
        places = request.rng.integers(0, self.known.shape[1], len(users))
        others = request.rng.integers(0, ITEMS, (len(users), NEGATIVES))
        items = np.column_stack([self.known[users, places], others]).reshape(-1)
        users = np.repeat(users, 1 + NEGATIVES)
        return np.column_stack([users, items]) + 1, self.seen[users, items].astype(np.int64) + 1


def candidates(known: Pairs, hidden: Pairs) -> Pairs:
    """(USERS, 100) the hidden item, then 99 that the user did not take."""
    rng, rows = np.random.default_rng(2), []
    for user in range(USERS):
        free = np.setdiff1d(np.arange(ITEMS), [*known[user], hidden[user]])
        rows.append([hidden[user], *rng.choice(free, 99, replace=False)])
    return np.array(rows)


def hit_ratio(scores: Array) -> float:
    """The share of rows (100,) whose first score is among the ten best, ties against it."""
    return float(((scores[:, 1:] >= scores[:, :1]).sum(axis=1) < 10).mean())


@pytest.mark.convergence
def test_neural_cf_finds_more_than_matrix_factorisation() -> None:
    mixed = np.random.default_rng(1).permuted(taken(USERS, ITEMS, EACH, 0), axis=1)
    known, hidden = mixed[:, 1:], mixed[:, 0]
    seen = np.zeros((USERS, ITEMS), np.float32)
    seen[np.arange(USERS)[:, None], known] = 1
    rows = candidates(known, hidden)

    RNG.set_seed(1)
    model = neural_cf(USERS, ITEMS, 2, 4, 4, (32, 16, 8), True, 4)
    method = Adam(3e-3, 1e-3)
    Optimizer(model, Drawn(known, seen), ClassNLLCriterion(), MaxEpoch(15), 500, method, is_quiet=True).optimize()
    pairs = np.column_stack([np.repeat(np.arange(USERS), 100), rows.reshape(-1)]) + 1
    found = hit_ratio(model.evaluate().forward(pairs)[:, 1].reshape(USERS, 100))

    left, sizes, right = np.linalg.svd(seen, full_matrices=False)
    factorised = {
        k: hit_ratio(np.take_along_axis((left[:, :k] * sizes[:k]) @ right[:k], rows, 1)) for k in (2, 4, 8, 16, 32)
    }
    popular = hit_ratio(np.take_along_axis(np.broadcast_to(seen.sum(axis=0), seen.shape), rows, 1))
    print(f"hit ratio at 10: NCF {found:.3f}, by factors {factorised}, popularity {popular:.3f}")
    assert found >= factorised[8] + 0.05  # as many numbers for each user and item
    assert factorised[8] > 2 * popular
