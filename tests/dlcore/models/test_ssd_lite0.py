"""The detector on Lite0 keeps what was published: its trunk and its blocks compute what the classifier computes
there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.inference import compile
from dlcore.interop.artefact import load_artefact, save_artefact
from dlcore.interop.native import WEIGHTS, read_weights
from dlcore.interop.published import Backbone
from dlcore.models.pretrained import LITE0_WEIGHTS, pretrained_efficientnet_lite0
from dlcore.models.ssd_lite0 import TRUNK, SsdLite0Config, lite0_trunk, ssd_lite0, ssd_lite0_upper, start_from_published
from dlcore.nn.graph import Graph
from dlcore.rng import RNG

CONFIG = SsdLite0Config(("background", "thing"), 160, 16)


@pytest.fixture(scope="module")
def network() -> Graph:
    RNG.set_seed(1)
    return ssd_lite0(lite0_trunk(), start_from_published(ssd_lite0_upper(CONFIG))).training(False)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 160, 160, 3)).astype(np.float32).transpose(0, 3, 1, 2)


def test_blocks_with_folded_normalisation_compute_what_was_published(pictures: np.ndarray) -> None:
    published = pretrained_efficientnet_lite0().new_graph("_blocks.12.sum").training(False)
    upper = start_from_published(ssd_lite0_upper(CONFIG)).new_graph("_blocks.12.sum")
    expected = published.forward(pictures)
    found = upper.forward(lite0_trunk().forward(pictures))
    assert np.allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_outputs_have_a_row_for_each_prior_and_the_plan_agrees(network: Graph, pictures: np.ndarray) -> None:
    count = len(CONFIG.priors())
    assert count == 6 * (10**2 + 5**2 + 3**2 + 1)
    expected = network.forward(pictures)
    assert [part.shape for part in expected] == [(2, count, 4), (2, count, 2)]
    for part, planned in zip(expected, compile(network, pictures.shape).predict(pictures), strict=True):
        assert np.allclose(part, planned, atol=1e-3 * np.abs(part).max())


def test_the_trunk_is_named_and_the_rest_is_saved(network: Graph, pictures: np.ndarray, tmp_path: Path) -> None:
    save_artefact(tmp_path / "detector", network, {}, half=False, backbone=Backbone(TRUNK, LITE0_WEIGHTS))
    stored = read_weights(tmp_path / "detector" / WEIGHTS)
    assert stored and all(name.startswith("upper.") for name in stored)
    loaded = load_artefact(tmp_path / "detector").model
    for part, again in zip(network.forward(pictures), loaded.forward(pictures), strict=True):
        assert np.array_equal(part, again)


@pytest.mark.parametrize("size", [100, 128, 256])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="expected a multiple of 32 from 160 to 224"):
        SsdLite0Config(("background", "thing"), size)
