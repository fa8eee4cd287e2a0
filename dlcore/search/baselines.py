"""Binary codes without training, to compare trained ones with: random projection and iterative quantisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dlcore.search.codes import Codes, pack

Floats = NDArray[np.floating]


def random_projection(features: Floats, bits: int, seed: int = 0) -> Codes:
    """Signs of centred features (N, D) along random directions -> (N, bits / 8) (Charikar 2002)."""
    directions = np.random.default_rng(seed).normal(size=(features.shape[1], bits))
    return pack((features - features.mean(axis=0)) @ directions)


def itq(features: Floats, bits: int, iterations: int = 50, seed: int = 0) -> Codes:
    """Iterative quantisation of features (N, D) -> (N, bits / 8), learned on the features themselves.

    The principal components are rotated until their signs lose least (Gong and Lazebnik 2011). If there are fewer
    components than bits, the other bits are random directions among them.
    """
    generator = np.random.default_rng(seed)
    centred = np.asarray(features - features.mean(axis=0), np.float64)
    _, values, components = np.linalg.svd(centred, full_matrices=False)
    reduced = centred @ components[: min(bits, int((values > 1e-9 * values[0]).sum()))].T
    if reduced.shape[1] < bits:
        extra = generator.normal(size=(reduced.shape[1], bits - reduced.shape[1])) / np.sqrt(reduced.shape[1])
        reduced = np.concatenate([reduced, reduced @ extra], axis=1)
    rotation = np.linalg.qr(generator.normal(size=(bits, bits)))[0]
    for _ in range(iterations):
        u, _, vt = np.linalg.svd(np.sign(reduced @ rotation).T @ reduced)
        rotation = (u @ vt).T
    return pack(reduced @ rotation)
