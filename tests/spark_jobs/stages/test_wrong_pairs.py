"""How many pairs of a catalogue are wrong, where that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spark_jobs.stages.wrong_pairs import LOWEST, by_chance, mixture_of

SCORES = st.lists(st.floats(-30, 30), max_size=40).map(np.array)


def counter(scores):
    return lambda score: float((scores >= score).sum())


def likely(rng, count):
    return rng.normal(8, 2, count)


def twice_changed(rng, count):
    return rng.normal(5.5, 2.5, count)


@pytest.mark.parametrize(("right", "wrong"), [(1000, 0), (1000, 60), (300, 300), (400, 4000)])
def test_wrong_pairs_among_right_ones_are_counted(right, wrong):
    rng = np.random.default_rng(0)
    false = rng.exponential(1.3, wrong)
    found = counter(np.concatenate([likely(rng, right), false]))
    mixture = mixture_of(found, likely(rng, 2000), np.empty(0))
    for score in (LOWEST, 2.0, 4.0):
        true_count = (false >= score).sum()
        assert mixture.wrong(score) == pytest.approx(true_count, abs=3 * true_count**0.5 + 0.012 * right), score


def test_duplicates_that_were_both_changed_are_not_taken_for_wrong_pairs():
    rng = np.random.default_rng(0)
    found = counter(np.concatenate([likely(rng, 700), twice_changed(rng, 300)]))
    copies, twins = likely(rng, 2000), twice_changed(rng, 1000)
    assert mixture_of(found, copies, twins).wrong(LOWEST) < 10
    assert mixture_of(found, copies, np.empty(0)).wrong(LOWEST) > 100


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate])
@given(st.integers(50, 1500), st.floats(0, 1 / 3), st.integers(0, 300), st.floats(0.5, 1.5), st.integers(0, 2**32 - 1))
def test_wrong_pairs_are_counted_among_duplicates_of_both_kinds(right, twins, wrong, decay, seed):
    rng = np.random.default_rng(seed)
    both = round(twins * right)
    false = rng.exponential(decay, wrong)
    found = counter(np.concatenate([likely(rng, right - both), twice_changed(rng, both), false]))
    mixture = mixture_of(found, likely(rng, 2000), twice_changed(rng, 1000))
    for score in (LOWEST, 2.0, 4.6):
        true_count = (false >= score).sum()
        noise = 4 * true_count**0.5 + 4
        assert -noise - 0.02 * right <= mixture.wrong(score) - true_count <= noise + 0.1 * right, score


def test_wrong_pairs_that_fall_faster_than_exponentially_have_no_long_tail():
    rng = np.random.default_rng(1)
    false = np.abs(rng.normal(0, 1.8, 1000))
    found = counter(np.concatenate([likely(rng, 450), false]))
    mixture = mixture_of(found, likely(rng, 2000), np.empty(0))
    assert mixture.wrong(2.0) == pytest.approx((false >= 2).sum(), rel=0.15)
    assert (false >= 4.6).sum() <= mixture.wrong(4.6) <= 40


@settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])
@given(SCORES, SCORES, SCORES)
def test_whatever_is_found_wrong_pairs_are_some_of_it_and_fewer_at_higher_scores(pairs, copies, twins):
    mixture = mixture_of(counter(pairs), copies, twins)
    wrong = [mixture.wrong(score) for score in np.linspace(-1, 20, 43)]
    assert 0 <= wrong[0] <= (pairs >= 0).sum() + 1e-9
    assert wrong == sorted(wrong, reverse=True)


def test_pairs_that_a_sample_shows_are_evidence_once_however_many_they_stand_for():
    rng = np.random.default_rng(0)
    copies = likely(rng, 2000)
    few = counter(np.concatenate([likely(rng, 40), rng.exponential(1.3, 4)]))
    seen = mixture_of(few, copies, np.empty(0))
    scaled = mixture_of(lambda score: 1000 * few(score), copies, np.empty(0), scale=1000)
    for score in (LOWEST, 2.0, 4.0):
        assert scaled.wrong(score) == pytest.approx(1000 * seen.wrong(score))
    # Many alike would leave hardly a doubt about the tail.
    assert mixture_of(lambda score: 1000 * few(score), copies, np.empty(0)).wrong(6.0) != pytest.approx(
        scaled.wrong(6.0)
    )


def test_nothing_found_is_nothing_wrong():
    for copies in (np.array([3.0]), np.empty(0)):
        assert mixture_of(lambda score: 0.0, copies, np.empty(0)).wrong(2.0) == 0.0


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
