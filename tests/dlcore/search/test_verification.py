"""Cues of pairs, and the regression over them."""

import numpy as np
import pytest

from dlcore.search.signatures import chroma_grid, luminance_hash
from dlcore.search.verification import CUES, Signatures, cues, fit_verifier, joined


def signatures_of(pictures, codes, descriptors):
    hashes = luminance_hash(pictures)
    return Signatures(codes, descriptors.astype(np.float16), hashes, hashes, chroma_grid(pictures))


@pytest.fixture
def signatures():
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (4, 8, 8, 3), np.uint8)
    pictures = small.repeat(12, 1).repeat(12, 2)
    pictures[1] = pictures[0][:, ::-1]
    pictures[2] = pictures[0].mean(axis=2, keepdims=True).astype(np.uint8)
    codes = np.array([[0, 0], [255, 0], [0, 15], [0, 0]], np.uint8)
    return signatures_of(pictures, codes, generator.normal(size=(4, 8)))


def cue(signatures, name, i, j):
    return float(cues(signatures, np.array([i]), np.array([j]))[0, CUES.index(name)])


def test_cues_of_known_pairs(signatures):
    assert cue(signatures, "code", 0, 1) == 0.5
    assert cue(signatures, "code", 0, 2) == 0.25
    descriptors = signatures.descriptors.astype(np.float64)
    cosine = descriptors[0] @ descriptors[3] / np.linalg.norm(descriptors[0]) / np.linalg.norm(descriptors[3])
    assert cue(signatures, "descriptor", 0, 3) == pytest.approx(1 - cosine, abs=1e-4)
    assert cue(signatures, "hash", 0, 1) < 0.03  # mirrored; a frequency of exactly 0 has no sign
    assert cue(signatures, "grid", 0, 1) == pytest.approx(0, abs=1e-3)
    assert cue(signatures, "grey", 0, 2) > 0.99
    assert cue(signatures, "hue", 0, 2) < 0.01
    assert cue(signatures, "hash", 0, 3) > 0.3


def test_cues_are_symmetric(signatures):
    i, j = np.triu_indices(4, 1)
    np.testing.assert_allclose(cues(signatures, i, j), cues(signatures, j, i), atol=1e-6)


def test_joined_keeps_the_rows(signatures):
    both = joined(signatures, signatures)
    assert len(both) == 8
    np.testing.assert_allclose(cues(both, np.array([0]), np.array([7])), cues(signatures, np.array([0]), np.array([3])))


def test_regression_finds_the_rule_behind_pairs():
    generator = np.random.default_rng(1)
    pair_cues = generator.uniform(0, 0.5, (4000, len(CUES)))
    chance = 1 / (1 + np.exp(-(4 - 20 * pair_cues[:, 0] - 10 * pair_cues[:, 4])))
    is_duplicate = generator.random(4000) < chance
    found = fit_verifier(pair_cues, is_duplicate).probability(pair_cues)
    assert np.abs(found - chance).mean() < 0.05


def test_separable_pairs_give_finite_weights():
    pair_cues = np.linspace(0, 1, 200)[:, None].repeat(len(CUES), 1)
    verifier = fit_verifier(pair_cues, pair_cues[:, 0] < 0.5)
    assert np.isfinite(verifier.weights).all()
    found = verifier.probability(pair_cues)
    assert found[0] > 0.99
    assert found[-1] < 0.01
