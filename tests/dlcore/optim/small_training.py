"""A small network and its data, trained on them: what the tests of the training loop share."""

from __future__ import annotations

import numpy as np

from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.nn.layer import (
    Dropout,
    Linear,
    LogSoftMax,
    ReLU,
    Reshape,
    Sequential,
    SpatialBatchNormalization,
    SpatialConvolution,
)
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.trigger import MaxEpoch
from dlcore.rng import RNG

DATA = np.random.default_rng(0)
X = DATA.standard_normal((60, 1, 6, 6)).astype(np.float32)
Y = 1.0 + (X[:, 0, :3].sum((1, 2)) > X[:, 0, 3:].sum((1, 2)))


def network(dropout=0.2):
    RNG.set_seed(3)
    model = Sequential().add(SpatialConvolution(1, 4, 3, 3)).add(SpatialBatchNormalization(4)).add(ReLU())
    return model.add(Reshape([64], True)).add(Dropout(dropout)).add(Linear(64, 2)).add(LogSoftMax())


def trained(workers, end=None, model=None, method=None, **settings):
    end = end or MaxEpoch(4)
    method = method or SGD(0.05, momentum=0.9, dampening=0.0)
    optimizer = Optimizer(
        model or network(), (X, Y), ClassNLLCriterion(), end, 12, method, workers=workers, is_quiet=True
    )
    for name, arguments in settings.items():
        getattr(optimizer, name)(*arguments)
    optimizer.optimize()
    return optimizer


def same(first, second):
    pairs = [*zip(first.get_weights(), second.get_weights(), strict=True)]
    pairs += [(a.value, b.value) for a, b in zip(first.buffers().values(), second.buffers().values(), strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs)
