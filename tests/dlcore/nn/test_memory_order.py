"""Images of any rank stay channels-last on their way through layers."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.kernels import channels_last
from dlcore.nn.layer import Concat, Identity, JoinTable, Sequential, VolumetricAveragePooling, VolumetricConvolution
from dlcore.nn.module import Module


def images(*shape: int) -> np.ndarray:
    return channels_last(np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32))


@pytest.mark.parametrize("spatial", [(7,), (5, 6), (3, 4, 5)])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_joined_images_stay_channels_last(spatial: tuple[int, ...], dimension: int) -> None:
    parts = [images(2, 3, *spatial), images(2, 3, *spatial)]
    joined = JoinTable(dimension, 0).forward(parts)
    assert np.moveaxis(joined, 1, -1).flags.c_contiguous
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=dimension - 1))


def test_joined_sequences_of_rows_stay_in_their_order() -> None:
    parts = [np.ones((2, 3, 4), np.float32)] * 2
    assert JoinTable(2, 0).forward(parts).flags.c_contiguous


def test_volumes_stay_channels_last_through_convolution_joining_and_pooling() -> None:
    branches: Module = Concat(2).add(VolumetricConvolution(2, 3, 1, 1, 1)).add(Identity())
    model = Sequential().add(branches).add(VolumetricAveragePooling(2, 2, 2, 2, 2, 2))
    for y in (branches.forward(images(2, 2, 4, 4, 6)), model.forward(images(2, 2, 4, 4, 6))):
        assert y.shape[:2] == (2, 5)
        assert np.moveaxis(y, 1, -1).flags.c_contiguous


def test_a_single_volume_is_a_batch_of_one() -> None:
    model = VolumetricConvolution(2, 3, 2, 2, 2)
    volume = images(1, 2, 3, 4, 5)
    np.testing.assert_array_equal(model.forward(volume[0]), model.forward(volume)[0])
