"""Looking at an image and its mirror image gives mirrored objects for a mirrored image."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.boxes import decode
from dlcore.models.ssd import ssd
from dlcore.rng import RNG
from dlcore.vision.detector import looked_twice
from spark_jobs.training.detector_recipe import Recipe


@pytest.mark.parametrize("size", [64, 96])
def test_mirrored_image_gives_mirrored_boxes(size: int) -> None:
    recipe = Recipe(steps=1, size=size, width=8)
    RNG.set_seed(2)
    model = ssd(recipe.config).evaluate()
    levels = [source.priors for source in recipe.config.sources]
    priors = recipe.config.priors()
    x = np.random.default_rng(0).standard_normal((2, size, size, 3), dtype=np.float32).transpose(0, 3, 1, 2)

    def boxes_and_logits(inputs: np.ndarray) -> tuple[set[tuple[float, ...]], np.ndarray]:
        locations, logits = looked_twice(model.forward, inputs, levels)
        boxes = decode(locations, priors)[0]
        return {tuple(round(float(v), 3) for v in box) for box in boxes}, np.sort(logits[0].ravel())

    boxes, logits = boxes_and_logits(x)
    mirrored, mirrored_logits = boxes_and_logits(x[..., ::-1])
    turned = {(round(1 - box[2], 3), box[1], round(1 - box[0], 3), box[3]) for box in mirrored}
    assert len(boxes & turned) > 0.9 * len(boxes)  # the others differ in the last digit kept
    assert np.allclose(logits, mirrored_logits, atol=1e-4)
