"""How many pairs of a catalogue are wrong, where that is known."""

from __future__ import annotations

import numpy as np
import pytest

from spark_jobs.stages.wrong_pairs import by_chance, mixture_of


def counter(scores):
    return lambda score: float((scores >= score).sum())


def likely(rng, count):
    return rng.normal(6, 1.5, count)


@pytest.mark.parametrize(("right", "wrong"), [(1000, 0), (1000, 60), (300, 300), (400, 4000)])
def test_wrong_pairs_among_right_ones_are_counted(right, wrong):
    rng = np.random.default_rng(0)
    false = rng.exponential(1.3, wrong)
    found = counter(np.concatenate([likely(rng, right), false]))
    mixture = mixture_of(found, likely(rng, 2000))
    for score in (0.0, 2.0, 4.0):
        true_count = (false >= score).sum()
        assert mixture.wrong(score) == pytest.approx(true_count, abs=3 * true_count**0.5 + 0.012 * right), score


def test_nothing_found_is_nothing_wrong():
    assert mixture_of(lambda score: 0.0, np.array([3.0])).wrong(0.0) == 0.0
    assert mixture_of(lambda score: 0.0, np.empty(0)).wrong(2.0) == 0.0


def test_a_large_catalogue_has_pairs_beyond_what_a_sample_shows():
    chance = by_chance(np.random.default_rng(1).exponential(1.0, 2000), 100_000, 0.0)
    for score in (4.0, 8.0, 12.0):
        assert np.log(chance(score)) == pytest.approx(np.log(0.02) - score, abs=0.25 * score)


def test_scores_that_the_sample_shows_are_counted():
    scores = np.random.default_rng(1).exponential(1.0, 2000)
    chance = by_chance(scores, 100_000, 0.0)
    for score in (0.5, 1.4, 3.0):
        assert chance(score) == pytest.approx((scores >= score).sum() / 100_000), score


def test_a_sample_without_near_pairs_is_no_proof_that_there_are_none():
    chance = by_chance(np.empty(0), 1000, 1.4)
    assert chance(0.5) == chance(1.4) == 1 / 1000 > chance(2.0) > 0
