"""The code layer of whole pictures: its views, its training, its card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlcore.search.baselines import random_projection
from spark_jobs.scoring.evaluation import score_codes
from spark_jobs.training.head_training import ROWS, HeadSource, HeadTraining, compared, head_codes, train_head
from spark_jobs.training.whole_views import (
    VIEWS,
    PooledViews,
    generated_sources,
    joined_views,
    pooled_views,
    sources_in,
)


def views_like(seed: int, sources: int, noise: float) -> PooledViews:
    """Views whose first 40 numbers tell the article and whose others, larger, are chance."""
    rng = np.random.default_rng(seed)
    articles = np.repeat(np.arange(sources), VIEWS)
    features = rng.normal(size=(sources, 40))[articles] + 0.3 * rng.normal(size=(len(articles), 40))
    chance = noise * rng.normal(size=(len(articles), 40))
    return PooledViews(np.concatenate([features, chance], 1).astype(np.float32), articles, articles.copy())


def test_a_trained_layer_finds_what_stays_the_same() -> None:
    views, held_out = views_like(1, 300, 1.5), views_like(2, 60, 1.5)
    training = HeadTraining(bits=32, steps=100, rate=0.01)
    codes = head_codes(train_head(views, training), held_out.features)
    found = score_codes(codes, held_out.articles)["map"]
    assert found > 2 * score_codes(random_projection(held_out.features, 32), held_out.articles)["map"]
    again = head_codes(train_head(views, training), held_out.features)
    np.testing.assert_array_equal(codes, again)


def test_the_comparison_has_a_row_for_each_term_and_baseline() -> None:
    rows = compared(views_like(1, 12, 1.0), views_like(2, 12, 1.0), HeadTraining(bits=16, steps=2, sources=4))
    assert list(rows) == [
        "all terms", "nt-xent alone", "without quantisation", "without balance", "without decorrelation", "itq",
        "random projection",
    ]  # fmt: skip
    assert all(0 < value <= 1 for value in rows.values())


def test_a_batch_has_as_many_views_of_an_article_as_of_its_look_alike() -> None:
    source = HeadSource.of(
        PooledViews(np.eye(9, dtype=np.float32), np.array([0] * 4 + [1] * 2 + [2] * 3), np.array([0] * 6 + [1] * 3))
    )
    rows = [source.rows[number] for number in range(2)]
    assert [len(articles) for articles in rows] == [2, 1] and ROWS == 4


def test_views_are_the_same_each_time_and_of_any_folder(tmp_path: Path) -> None:
    def summary(pixels: np.ndarray) -> np.ndarray:
        assert pixels.shape[1:] == (48, 48, 3)
        return pixels.reshape(len(pixels), -1)[:, ::97].astype(np.float32)

    first, again = (pooled_views(generated_sources(7, 3), summary, 1, 48, 0.4, 1) for _ in range(2))
    np.testing.assert_array_equal(first.features, again.features)
    assert set(np.bincount(first.sources)) <= {VIEWS, VIEWS + 2}
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    of_shop = pooled_views(sources_in(tmp_path), summary, 1, 48, 0.4, 1)
    assert len(of_shop.features) >= VIEWS
    both = joined_views(first, of_shop)
    assert both.sources.max() == first.sources.max() + len(sources_in(tmp_path))
    assert len(set(both.articles)) == len(set(first.articles)) + len(set(of_shop.articles))
    with pytest.raises(ValueError, match="expected the pictures of a shop"):
        sources_in(tmp_path / "nothing")
