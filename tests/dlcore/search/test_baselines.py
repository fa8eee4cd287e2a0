"""Untrained codes keep neighbours near."""

from __future__ import annotations

import numpy as np

from dlcore.search.baselines import itq, random_projection
from dlcore.search.metrics import bit_entropy, retrieval


def test_codes_of_clustered_features_find_the_cluster():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(30, 40))
    groups = np.repeat(np.arange(30), 4)
    features = centres[groups] + generator.normal(0, 0.2, (120, 40))
    for codes in (itq(features, 64), random_projection(features, 64)):
        assert codes.shape == (120, 8)
        assert retrieval(codes, groups)["map"] > 0.9
        assert bit_entropy(codes).mean() > 0.8


def test_the_rotation_loses_less_than_the_principal_components():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(500, 16)) * np.linspace(3, 0.3, 16)
    centred = features - features.mean(axis=0)
    components = np.linalg.svd(centred, full_matrices=False)[2]
    plain = centred @ components.T
    bits = np.unpackbits(itq(features, 16), axis=1)[:, :16] * 2.0 - 1
    turn = np.linalg.svd(bits.T @ plain)
    rotated = plain @ (turn[0] @ turn[2]).T

    def loss(values):
        return np.square(np.sign(values) - values / values.std()).mean()

    assert loss(rotated) < loss(plain)
