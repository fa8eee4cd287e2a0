"""VGG (Simonyan and Zisserman 2015), configurations D and E, and BigDL's small one for CIFAR."""

from __future__ import annotations

import numpy as np

from dlcore.nn.container import Sequential
from dlcore.nn.init import MsraFiller, Zeros
from dlcore.nn.layer import (
    BatchNormalization,
    Dropout,
    Linear,
    LogSoftMax,
    ReLU,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialMaxPooling,
    View,
)

PLANES = (64, 128, 256, 512, 512)
COUNTS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""depth -> convolutions of each block."""


def add_vgg_features(model: Sequential, depth: int = 16) -> Sequential:
    """Append conv1_1 to pool5: (N, 3, 224, 224) -> (N, 512, 7, 7)."""
    planes_in = 3
    for block, (count, planes) in enumerate(zip(COUNTS[depth], PLANES, strict=True), start=1):
        for i in range(1, count + 1):
            name = f"conv{block}_{i}"
            layer = SpatialConvolution(planes_in, planes, 3, 3, 1, 1, 1, 1, propagate_back=planes_in > 3)
            model.add(layer.set_name(name)).add(ReLU(True).set_name(f"relu{block}_{i}"))
            layer.set_init_method(MsraFiller(False), Zeros())
            planes_in = planes
        model.add(SpatialMaxPooling(2, 2, 2, 2).set_name(f"pool{block}"))
    return model


def add_fully_connected(model: Sequential, dropout: float = 0.5) -> Sequential:
    """Append fc6 and fc7: (N, 512, 7, 7) -> (N, 4096)."""
    model.add(View([512 * 7 * 7]))
    for name, size in (("fc6", 512 * 7 * 7), ("fc7", 4096)):
        model.add(Linear(size, 4096).set_name(name)).add(ReLU(True)).add(Dropout(dropout))
    return model


def _vgg(depth: int, class_num: int) -> Sequential:
    model = add_fully_connected(add_vgg_features(Sequential(), depth))
    return model.add(Linear(4096, class_num).set_name("fc8"))


def vgg16(class_num: int = 1000) -> Sequential:
    """The classifier: (N, 3, 224, 224) -> logits (N, class_num). 30.9 GFLOP, 138 million parameters."""
    return _vgg(16, class_num)


def vgg19(class_num: int = 1000) -> Sequential:
    """The deeper classifier: (N, 3, 224, 224) -> logits (N, class_num). 39.3 GFLOP, 144 million parameters."""
    return _vgg(19, class_num)


def vgg_cifar(class_num: int = 10, has_dropout: bool = True) -> Sequential:
    """(N, 3, 32, 32) -> log-probabilities (N, class_num). 15 million parameters, batch normalisation after each
    convolution.

    Source: BigDL's VggForCifar10.
    """
    model, planes_in = Sequential(), 3
    for block, (count, planes) in enumerate(zip(COUNTS[16], PLANES, strict=True), start=1):
        for i in range(1, count + 1):
            _add_normalised(model, f"conv{block}_{i}", planes_in, planes)
            if has_dropout and i < count:
                model.add(Dropout(0.3 if block == 1 else 0.4))
            planes_in = planes
        model.add(SpatialMaxPooling(2, 2, 2, 2).ceil().set_name(f"pool{block}"))
    model.add(View([512]))
    if has_dropout:
        model.add(Dropout(0.5))
    model.add(Linear(512, 512).set_name("fc1"))
    model.add(BatchNormalization(512, init_weight=np.ones(512, np.float32)).set_name("fc1_bn")).add(ReLU(True))
    if has_dropout:
        model.add(Dropout(0.5))
    return model.add(Linear(512, class_num).set_name("fc2")).add(LogSoftMax())


def _add_normalised(model: Sequential, name: str, planes_in: int, planes: int) -> None:
    layer = SpatialConvolution(planes_in, planes, 3, 3, 1, 1, 1, 1, propagate_back=planes_in > 3)
    layer.set_name(name).set_init_method(MsraFiller(False), Zeros())
    norm = SpatialBatchNormalization(planes, 1e-3, init_weight=np.ones(planes, np.float32)).set_name(f"{name}_bn")
    model.add(layer).add(norm).add(ReLU(True))
