"""Training pictures: families of look-alikes in views, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from sample_data.catalogue.views import ViewPool
from spark_jobs.training.feature_training import CodeCriterion
from spark_jobs.training.feature_views import ARTICLES, VIEWS, batch


@pytest.fixture(scope="module")
def pool():
    return ViewPool.drawn(seed=5, products=24, backgrounds=6, size=64, workers=1)


def test_a_batch_has_the_views_of_an_article_side_by_side(pool):
    pixels, articles = batch(pool, np.random.default_rng(0), 3, 64)
    assert pixels.shape == (3 * ARTICLES * VIEWS, 64, 64, 3)
    assert articles.tolist() == np.repeat(np.arange(3 * ARTICLES), VIEWS).tolist()
    assert pixels.std(axis=(1, 2, 3)).min() > 1


def test_the_same_seed_gives_the_same_batch(pool):
    first, second = (batch(pool, np.random.default_rng(7), 2, 48)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_views_of_an_article_are_closer_than_those_of_others(pool):
    pixels, articles = batch(pool, np.random.default_rng(1), 30, 48)
    small = pixels.reshape(len(pixels), 6, 8, 6, 8, 3).mean(axis=(2, 4)).reshape(len(pixels), -1)
    apart = np.square(small[:, None] - small[None]).mean(axis=2)
    same = (articles[:, None] == articles[None]) & ~np.eye(len(articles), dtype=bool)
    assert np.median(apart[same]) < 0.6 * np.median(apart[~same])


def test_the_criterion_wants_alike_views_alike():
    codes = np.sign(np.random.default_rng(0).normal(size=(4, 64))).astype(np.float32).repeat(2, 0)
    pooled = np.zeros((8, 5), np.float32)
    articles = np.repeat(np.arange(4), 2).astype(np.float32)
    criterion = CodeCriterion()
    assert criterion.forward([codes, pooled], articles) < 0.5 * criterion.forward(
        [codes, pooled], articles[[0, 2, 4, 6, 1, 3, 5, 7]]
    )


def test_the_criterion_gradient_is_the_numerical_one():
    generator = np.random.default_rng(2)
    codes = generator.uniform(0.2, 0.8, (6, 8)).astype(np.float32) * np.sign(generator.normal(size=(6, 8))).astype(
        np.float32
    )
    pooled, articles = np.zeros((6, 3), np.float32), np.array([0, 0, 1, 1, 2, 2], np.float32)
    criterion = CodeCriterion(beta=0.0)  # the even-distribution term has a straight-through gradient
    slope, nothing = criterion.backward([codes, pooled], articles)
    assert not nothing.any()
    for row, bit in ((0, 0), (3, 5), (5, 7)):
        step = np.zeros_like(codes)
        step[row, bit] = 1e-2
        difference = criterion.forward([codes + step, pooled], articles) - criterion.forward(
            [codes - step, pooled], articles
        )
        assert slope[row, bit] == pytest.approx(difference / 2e-2, rel=0.05, abs=2e-4)
