"""Crops are compared where the change took them; of thresholds that find as well, the one with steadier crops is
chosen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dlcore.vision.detection_score import TrueObjects
from dlcore.vision.detector import Things
from sample_data.catalogue.transforms import TRANSFORMS, Changed
from sample_data.catalogue.views import ViewPool
from spark_jobs.training.detection_training import padded
from spark_jobs.training.repeatability import CopiedScenes, copied_scenes, repeatability, steadiest_threshold

SIDE = 100


def things(*rows: tuple[float, float, float, float, float]) -> Things:
    """Things of sureness, x_min, y_min, x_max, y_max."""
    values = np.array(rows, np.float32).reshape(-1, 5)
    return Things(np.ones(len(values), np.int64), values[:, 0], values[:, 0], values[:, 1:])


def scenes(*changes: Changed) -> CopiedScenes:
    pixels = np.zeros((len(changes), SIDE, SIDE, 3), np.uint8)
    return CopiedScenes(pixels, pixels, [(SIDE, SIDE)] * len(changes), list(changes))


def test_the_same_thing_in_a_mirrored_and_a_padded_copy_is_cut_alike() -> None:
    image = Image.new("RGB", (SIDE, SIDE))
    rng = np.random.default_rng(0)
    mirrored = TRANSFORMS["mirror"](image, rng)
    wider = Changed(Image.new("RGB", (2 * SIDE, SIDE)), (1, 0, 50, 0, 1, 0))
    original = things((0.9, 0.2, 0.3, 0.5, 0.8))
    copies = [things((0.9, 0.5, 0.3, 0.8, 0.8)), things((0.9, 0.35, 0.3, 0.5, 0.8))]
    assert repeatability([original] * 2, copies, scenes(mirrored, wider), 0.5) == pytest.approx(1.0, abs=0.02)
    assert repeatability([original] * 2, [original] * 2, scenes(mirrored, wider), 0.5) < 0.7


def test_a_threshold_that_finds_as_much_and_cuts_steadier_is_chosen() -> None:
    """A second, unsure guess that only the copy has outweighs the thing there; the truth holds both apart from it."""
    stay = scenes(Changed(Image.new("RGB", (SIDE, SIDE))))
    thing, unsure = (0.9, 0.3, 0.3, 0.5, 0.5), (0.4, 0.3, 0.3, 0.99, 0.99)
    found = [things(thing)] * 3
    truth = [TrueObjects(np.ones(1, np.int64), np.array([thing[1:]], np.float32))] * 3
    chosen, repeats = steadiest_threshold(found, truth, [things(thing)], [things((0.85, *thing[1:]), unsure)], stay)
    unsteady = repeatability([things(thing)], [things((0.3, *thing[1:]), unsure)], stay, 0.2)
    assert 0.4 <= chosen.score <= 0.5 and repeats == pytest.approx(1.0)
    assert unsteady < 0.5


def test_wide_margins_carry_boxes_along() -> None:
    image = Image.new("RGB", (120, 80))
    for seed in range(8):
        changed = padded(image, np.random.default_rng(seed))
        x, y = (changed.image.width - 120) // 2, (changed.image.height - 80) // 2
        assert x or y
        assert changed.moved(np.array([[10, 20, 30, 40]], np.float32)).tolist() == [[10 + x, 20 + y, 30 + x, 40 + y]]


def test_copied_scenes_repeat() -> None:
    pool = ViewPool.drawn(seed=5, products=20, backgrounds=3, size=64, workers=1)
    first, again = (copied_scenes(3, 6, 64, pool) for _ in range(2))
    assert first.originals.shape == first.copies.shape == (6, 64, 64, 3)
    assert np.array_equal(first.copies, again.copies)
