"""Chance pairs within a radius: counted where a sample shows them, and below that as the binomial law has it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from spark_jobs.stages.candidates import Chance

INDEPENDENT = 46


@pytest.fixture(scope="module")
def chance():
    """Codes of 46 independent bits, each twice and 36 of them a third time."""
    bits = np.random.default_rng(6).integers(0, 2, (1500, INDEPENDENT), np.uint8)[:, np.arange(128) % INDEPENDENT]
    return Chance.of(np.packbits(bits, axis=1), np.eye(1500, dtype=bool))


def exact(radius):
    """The share of pairs within a radius by counting: 36 bits that count three times and 10 that count twice."""
    threes, twos = np.arange(37)[:, None], np.arange(11)[None, :]
    chance = binom.pmf(threes, 36, 0.5) * binom.pmf(twos, 10, 0.5)
    return chance[3 * threes + 2 * twos <= radius].sum()


@pytest.mark.parametrize("radius", [64, 50, 40, 34])
def test_what_a_sample_shows_is_counted(chance, radius):
    assert chance.share(radius) == pytest.approx(exact(radius), rel=0.1)


@pytest.mark.parametrize("radius", [22, 18, 14])
def test_what_it_does_not_show_is_of_the_right_size(chance, radius):
    assert 1 / 3 < chance.share(radius) / exact(radius) < 3


def test_the_radius_shrinks_as_the_catalogue_grows(chance):
    radii = [chance.radius(41, pictures, 20) for pictures in (10**3, 10**6, 10**7, 10**9)]
    assert radii[0] == 41
    assert radii == sorted(radii, reverse=True)
    for radius, pictures in zip(radii[1:], (10**6, 10**7, 10**9), strict=True):
        assert pictures * chance.share(radius) <= 20 < pictures * chance.share(radius + 1)


def test_copies_and_catalogues_without_others_count_for_nothing():
    codes = np.zeros((3, 16), np.uint8)
    assert Chance.of(codes, np.ones((3, 3), bool)).radius(41, 10**9, 20) == 41
    assert Chance.of(codes[:1], np.eye(1, dtype=bool)).share(10) == 0
    assert Chance.of(codes, np.eye(3, dtype=bool)).radius(41, 10**9, 20) == 0
