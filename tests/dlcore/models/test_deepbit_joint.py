"""The joint code: its first bits are the crop's, its last the whole picture's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.inference import compile
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.deepbit_joint import code_head, deepbit_joint, pooled_features
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.rng import RNG
from dlcore.vision.extractor import Extractor, extractor_of, load_extractor
from dlcore.vision.preprocessing import Preprocessing

MODELS = Path(__file__).parents[3] / "models"
CONFIG = DeepBitConfig(32, 16, (8, 16), (1, 1))


def test_each_half_is_that_of_its_part() -> None:
    RNG.set_seed(5)
    crop, backbone, head = deepbit_small(CONFIG), pooled_features(efficientnet_lite(0)), code_head(bits=24)
    joint = deepbit_joint(crop, backbone, head).evaluate()
    rng = np.random.default_rng(1)
    image, whole = (rng.standard_normal((3, 3, side, side), np.float32) for side in (32, 64))
    codes, features = joint.forward([image, whole])
    pooled = backbone.forward(whole).reshape(3, 1280)
    assert codes.shape == (3, 40) and features.shape == (3, 32 + 1280)
    np.testing.assert_allclose(codes[:, :16], crop.forward(image)[0], atol=1e-6)
    np.testing.assert_allclose(codes[:, 16:], head.forward(pooled)[0], atol=1e-6)
    np.testing.assert_allclose(features[:, 32:], pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-5)
    planned = compile(joint, [image.shape, whole.shape])([image, whole])
    np.testing.assert_allclose(planned[0], codes, atol=1e-3)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    RNG.set_seed(6)
    model = deepbit_joint(deepbit_small(CONFIG), pooled_features(efficientnet_lite(0)), code_head(bits=16))
    about = {
        "preprocessing": Preprocessing(32).metadata(),
        "whole": Preprocessing(64).metadata(),
        "threshold": 0.0,
    }
    return extractor_of(model, about, "0" * 64)


def test_an_extractor_of_both_wants_a_whole_picture_for_each_crop(extractor: Extractor) -> None:
    pictures = list(np.random.default_rng(2).integers(0, 256, (3, 40, 50, 3), np.uint8))
    codes, _ = extractor.outputs(pictures, pictures[::-1])
    alone, _ = extractor.outputs(pictures[:1], pictures[2:])
    np.testing.assert_array_equal(codes[:1], alone)
    for wholes in (None, pictures[:2]):
        with pytest.raises(ValueError, match="expected one for each crop"):
            extractor.outputs(pictures, wholes)


def test_the_shipped_one_codes_crops_as_the_small_one_does() -> None:
    pictures = list(np.random.default_rng(3).integers(0, 256, (2, 90, 80, 3), np.uint8))
    joint, small = (load_extractor(str(MODELS / name)) for name in ("deepbit-lite0", "deepbit-small"))
    codes, features = joint.outputs(pictures, pictures[::-1])
    assert codes.shape == (2, 256) and features.shape == (2, 320 + 1280)
    np.testing.assert_allclose(codes[:, :128], small.outputs(pictures)[0], atol=1e-5)
