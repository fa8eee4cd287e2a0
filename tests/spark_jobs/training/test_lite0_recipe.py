"""Scenes pass the trunk once and the same in any number of workers; training moves the blocks and the heads, never the
trunk."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.interop.published import Backbone
from dlcore.models.ssd_lite0 import TRUNK_PLANES, lite0_trunk, ssd_lite0_upper, start_from_published
from sample_data.catalogue.views import ViewPool
from spark_jobs.training.detection_training import COPIED, scene_test_set, training_batch
from spark_jobs.training.lite0_recipe import Lite0Recipe, seen_by_trunk

RECIPE = Lite0Recipe(steps=4, size=160, width=16, batch=4, workers=1)


@pytest.fixture(scope="module")
def pool() -> ViewPool:
    return ViewPool.drawn(seed=31, products=20, backgrounds=4, size=64, workers=1, others=3)


def test_scenes_are_what_the_trunk_gives_of_them(pool: ViewPool) -> None:
    trunk = lite0_trunk()
    scenes = seen_by_trunk(RECIPE, trunk, pool, 20)
    inputs, targets = training_batch(
        pool, np.random.default_rng((RECIPE.seed, 77, 0)), 32, RECIPE.preprocessing, COPIED
    )
    assert scenes.maps.shape == (32, 10, 10, TRUNK_PLANES)
    assert all(np.array_equal(a, b) for a, b in zip(scenes.targets, targets, strict=True))
    expected = trunk.forward(inputs[:4]).transpose(0, 2, 3, 1)
    assert np.allclose(scenes.maps[:4], expected, atol=2e-3 * np.abs(expected).max())


def test_training_leaves_the_trunk_as_published(pool: ViewPool) -> None:
    model, curve = RECIPE.train(pool, scene_test_set(3, 4, RECIPE.size, pool))
    weights = {name: parameter.value for name, parameter in model.named_parameters().items()}
    backbone = RECIPE.backbone
    assert isinstance(backbone, Backbone) and curve.points and not model.is_training()
    trunk = {name for name in weights if name.startswith("trunk.")}
    assert trunk <= set(backbone.unchanged(weights).paths())
    start = start_from_published(ssd_lite0_upper(RECIPE.config)).named_parameters()
    moved = [name for name, first in start.items() if not np.array_equal(first.value, weights[f"upper.{name}"])]
    assert {"_blocks.11._expand_conv.weight", "logits1.weight"} <= set(moved)


def test_things_of_no_known_category_are_numbered_on(pool: ViewPool) -> None:
    categories = [thing.category for thing in pool.goods]
    assert categories[20:] == ["other"] * 3
    assert len({thing.sku for thing in pool.goods}) == len(pool.goods) == len(pool.cut_outs) == 23
