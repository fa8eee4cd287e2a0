"""Draw who took what: users with tastes take items whose properties lie near their taste."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]


def taken(users: int, items: int, each: int, seed: int, traits: int = 3) -> Pairs:
    """(users, each) the numbers of the items, from 0, that each user takes, none twice.

    Users and items lie in a cube of `traits` sides; the chance of an item falls with its squared distance from the
    user, and some items are liked by all more than others.

    Raises:
        ValueError: more items for each user than there are.
    """
    if each > items:
        raise ValueError(f"taken: got {each} items for each user, expected at most all, {items}")
    rng = np.random.default_rng(seed)
    tastes, properties = rng.random((users, traits)), rng.random((items, traits))
    distances = np.square(tastes[:, None] - properties).sum(axis=2)
    appeal = 0.5 * rng.standard_normal(items) - 20.0 * distances
    # The largest of noisy appeals (Gumbel) are a draw without repetition by the exponentials of the appeals.
    return np.argsort(-(appeal + rng.gumbel(size=appeal.shape)), axis=1)[:, :each]
