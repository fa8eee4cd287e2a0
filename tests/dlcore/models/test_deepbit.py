"""DeepBit networks: sizes, outputs, packing; and preprocessing by hand-computed pixels."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.models.deepbit import DeepBitConfig, deepbit_small, deepbit_vgg16
from dlcore.nn.init import skipped
from dlcore.search.codes import pack
from dlcore.vision.preprocessing import DEEPBIT_VGG16, Preprocessing


def test_the_small_network_gives_codes_and_a_descriptor() -> None:
    config = DeepBitConfig(size=32, bits=16, planes=(8, 16), blocks=(1, 2))
    codes, descriptor = deepbit_small(config).evaluate().forward(np.random.default_rng(0).random((3, 3, 32, 32)))
    assert codes.shape == (3, 16)
    assert descriptor.shape == (3, config.descriptor_size) == (3, 32)
    assert np.abs(codes).max() < 1


def test_the_small_network_has_about_a_million_parameters() -> None:
    with skipped():
        model = deepbit_small()
    assert 0.9e6 < sum(parameter.value.size for parameter in model.named_parameters().values()) < 1.2e6


def test_vgg16_has_its_layers() -> None:
    with skipped():
        shapes = {name: p.value.shape for name, p in deepbit_vgg16(32).named_parameters().items()}
    assert shapes["vgg16.fc6.weight"] == (4096, 25088)
    assert shapes["fc8_kevin.weight"] == (32, 4096)
    assert sum(np.prod(shape) for shape in shapes.values()) == 138_357_544 - 4096 * 1000 - 1000 + 4096 * 32 + 32


@pytest.mark.parametrize("wrong", [{"size": 90}, {"planes": (8, 16)}])
def test_wrong_configurations_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="DeepBitConfig: got"):
        DeepBitConfig(**wrong)


def test_bits_are_packed_highest_first() -> None:
    codes = np.float32([[1, -1, -1, -1, -1, -1, -1, 0.5], [0.2, 0.4, 0, 0, 0, 0, 0, 0]])
    assert pack(codes).tolist() == [[0b10000001], [0b11000000]]
    assert pack(codes, threshold=0.3).tolist() == [[0b10000001], [0b01000000]]


def test_preprocessing_orders_shifts_and_scales() -> None:
    pixels = np.zeros((1, 4, 4, 3), np.uint8)
    pixels[0, 1, 2] = (10, 20, 30)
    how = Preprocessing(2, "BGR", (1, 2, 3), (1, 10, 100), resize=4, fit="centre_crop")
    x = how.normalise(pixels)
    assert x.shape == (1, 3, 2, 2)
    assert x[0, :, 0, 1].tolist() == [29, 180, 700]
    assert Preprocessing.from_metadata(DEEPBIT_VGG16.metadata()) == DEEPBIT_VGG16
    with pytest.raises(ValueError, match="expected \\(N, 4, 4, 3\\)"):
        how.normalise(pixels[:, :3])
