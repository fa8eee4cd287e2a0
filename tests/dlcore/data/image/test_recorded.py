"""Transformers against pictures recorded from BigDL 0.13.0. Of the two resized ones the picture before was not
recorded."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from dlcore.data import image
from dlcore.data.image import ImageFeature

FOLDER = Path(__file__).parents[3] / "golden" / "bigdl"
CASES = {case["transform"]: case["key"] for case in json.loads((FOLDER / "index.json").read_text())["vision"]}
ARRAYS = np.load(FOLDER / "goldens.npz")
PICTURE = ARRAYS[CASES["HFlip()"]][:, ::-1].astype(np.uint8)
UNTRIED = {"Resize(60,80)", "Resize(60,80,2)"}


@pytest.mark.parametrize("transform", sorted(CASES.keys() - UNTRIED))
def test_transformers_do_what_bigdls_do(transform):
    feature = eval(transform, vars(image)).transform(ImageFeature(PICTURE))
    got, expected = feature.get_image(to_chw=False), ARRAYS[CASES[transform]]
    assert got.shape == expected.shape
    if transform == "ChannelOrder()":
        orders = [list(order) for order in permutations(range(3))]
        assert sum(np.array_equal(expected[..., order], PICTURE) for order in orders) == 1
        assert sum(np.array_equal(got[..., order], PICTURE) for order in orders) == 1
    elif transform.startswith("FixExpand"):  # around it BigDL leaves the memory as it was
        np.testing.assert_array_equal(got[162:237, 210:310], expected[162:237, 210:310])
    else:
        np.testing.assert_array_equal(got, expected)


def test_all_that_was_recorded_is_known():
    assert CASES.keys() > UNTRIED
    assert len(CASES) == 9
