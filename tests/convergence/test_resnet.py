"""A residual network with batch normalisation learns drawn digits from nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.models.resnet import resnet_cifar
from dlcore.nn.criterion import CrossEntropyCriterion
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.trigger import MaxEpoch
from dlcore.rng import RNG
from sample_data.digits import digits


def coloured(count: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """(count, 3, 32, 32) in [-1, 1], and labels from 1."""
    pictures, labels = digits(count, seed, 32)
    return np.repeat(pictures[:, None] / np.float32(127.5) - 1, 3, axis=1), labels + 1


@pytest.mark.convergence
def test_digits() -> None:
    RNG.set_seed(1)
    model, method = resnet_cifar(8), Adam(2e-3, 2e-3)
    criterion = CrossEntropyCriterion()
    Optimizer(model, coloured(3000, 0), criterion, MaxEpoch(8), 32, method, is_quiet=True).optimize()
    unseen, labels = coloured(500, 1)
    score = (model.evaluate().forward(unseen).argmax(axis=1) + 1 == labels).mean()
    print(f"accuracy {score:.3f}")
    assert score >= 0.97
