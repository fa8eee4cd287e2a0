"""Inputs of the tables: seeded arrays, the same in whatever order the tests run."""

from __future__ import annotations

import numpy as np


def normal(*shape, seed=5):
    """Normal numbers; two arrays of one shape need two seeds."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def apart(*shape, seed=5):
    """Values of which no two, nor any and a kink of an activation, are closer than 0.05."""
    count = int(np.prod(shape))
    values = np.linspace(-2.975, 3.025, count) if count > 1 else np.ones(1)
    return np.random.default_rng(seed).permutation(values).astype(np.float32).reshape(shape)


image, rows, cube, distinct = normal(2, 4, 6, 6), normal(4, 5), normal(2, 3, 4), apart(2, 3, 4)
table = [normal(2, 3, 4, seed=6), normal(2, 3, 4, seed=7)]
