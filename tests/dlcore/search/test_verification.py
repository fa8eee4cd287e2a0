"""Cues of pairs, and the regression over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcore.search.signatures import chroma_grid, luminance_hash
from dlcore.search.verification import (
    COLOURS,
    CUES,
    FIRST_BITS,
    INPUTS,
    PLAIN,
    Signatures,
    Verifier,
    cues,
    fit_verifier,
    joined,
    plain_cues,
)


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


def test_the_second_half_of_a_code_is_a_cue_of_its_own(signatures):
    generator = np.random.default_rng(5)
    codes = generator.integers(0, 256, (4, 32), np.uint8)
    codes[1] = codes[0]
    codes[1, FIRST_BITS // 8 :] ^= 0x0F
    descriptors = generator.normal(size=(4, 2 * FIRST_BITS)).astype(np.float16)
    joint = replace(signatures, codes=codes, descriptors=descriptors)
    assert (cue(joint, "code", 0, 1), cue(joint, "second_code", 0, 1)) == (0.25, 0.5)
    one, other = descriptors[[0, 1], FIRST_BITS:].astype(np.float64)
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert cue(joint, "second_descriptor", 0, 1) == pytest.approx(1 - cosine, abs=1e-4)
    assert cue(signatures, "second_code", 0, 1) == cue(signatures, "second_descriptor", 0, 1) == 0


def test_a_verifier_of_before_goes_on():
    """It weighs nine cues and twelve of their products, in the order in which calibrations of lakes hold them."""
    known = ("code", "descriptor", "hash", "low_hash", "whole", "hue", "turn", "grid", "grey")
    pair_cues = np.random.default_rng(2).random((1, len(CUES)))
    weights = np.random.default_rng(3).normal(size=21)
    value = {name: pair_cues[0, CUES.index(name)] for name in known}
    products = (
        "hash grey, descriptor grey, hash descriptor, descriptor descriptor, hue hue, hue descriptor, turn hash, hash "
        "hash, "
    )
    products += "whole whole, whole descriptor, whole grey, whole hue"
    pairs = [pair.split() for pair in products.split(", ")]
    score = 0.5 + weights @ [*(value[name] for name in known), *(value[a] * value[b] for a, b in pairs)]
    found = Verifier(tuple(weights), 0.5).probability(pair_cues)
    assert found[0] == pytest.approx(1 / (1 + np.exp(-score)))


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


@pytest.mark.parametrize("value", [0.0, 1e-7, np.inf, np.nan])
def test_a_picture_and_its_equal_have_no_cue_whatever_the_descriptor(signatures, value):
    descriptors = signatures.descriptors.copy()
    descriptors[[0, 3]] = [value, *[1e-7] * 7]
    descriptors[1] = 0
    twice = replace(signatures.take(np.array([0, 0, 1])), descriptors=descriptors[[0, 3, 1]])
    assert cue(twice, "descriptor", 0, 1) == pytest.approx(0, abs=1e-6)
    assert cue(twice, "descriptor", 0, 2) == 1


def test_distinct_rows_are_those_that_equal_none_before(signatures):
    order = np.array([2, 0, 2, 1, 0, 3, 2])
    first, equals = signatures.take(order).distinct()
    assert first.tolist() == [0, 1, 3, 5]
    assert equals.tolist() == [0, 1, 0, 2, 1, 3, 0]
    for name in ("codes", "descriptors", "hashes", "wholes", "chroma"):
        twice = signatures.take(np.array([0, 0]))
        changed = getattr(twice, name).copy()
        changed.view(np.uint8)[1, -1] ^= 1
        assert replace(twice, **{name: changed}).distinct()[0].tolist() == [0, 1]
    assert signatures.take(order[:0]).distinct()[0].tolist() == []


@given(
    st.lists(st.floats(-12, 12), min_size=len(INPUTS), max_size=len(INPUTS)),
    st.lists(st.floats(0, 1), min_size=len(CUES), max_size=len(CUES)),
)
def test_no_pair_is_likelier_than_its_plain_cues_allow(weights, shares):
    verifier = Verifier(tuple(weights), 1.0)
    tops = [COLOURS.get(name, 1.0) for name in CUES]
    pair_cues = np.array([[share * top for share, top in zip(shares, tops, strict=True)]])
    ceiling = verifier.ceiling(pair_cues[:, : len(PLAIN)])
    assert verifier.probability(pair_cues)[0] <= ceiling[0] + 1e-9


def test_the_ceiling_is_reached_by_colours_that_favour_it():
    weights = dict.fromkeys(INPUTS, 0.0) | {"hue": 3.0, ("hue", "hue"): -2.0, "turn": -5.0}
    verifier = Verifier(tuple(weights.values()), 0.0)
    best = np.zeros((1, len(CUES)))
    best[0, CUES.index("hue")] = 0.75
    assert verifier.ceiling(np.zeros((1, len(PLAIN))))[0] == pytest.approx(verifier.probability(best)[0], abs=1e-12)


def test_plain_cues_are_the_first_of_all(signatures):
    i, j = np.triu_indices(4, 1)
    every = cues(signatures, i, j)
    np.testing.assert_array_equal(plain_cues(signatures.take(i), signatures.take(j)), every[:, : len(PLAIN)])
