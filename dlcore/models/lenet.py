"""LeNet-5 (LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition"), as BigDL builds it."""

from __future__ import annotations

from dlcore.nn.container import Sequential
from dlcore.nn.layer import Linear, LogSoftMax, Reshape, SpatialConvolution, SpatialMaxPooling, Tanh


def build_model(class_num: int) -> Sequential:
    """Grey digits (N, 28 * 28), of any shape, -> log-probabilities (N, class_num). 22,278 parameters for 10 classes.

    Source: BigDL's lenet5.build_model.
    """
    model = Sequential().add(Reshape([1, 28, 28]))
    model.add(SpatialConvolution(1, 6, 5, 5).set_name("conv1_5x5")).add(Tanh())
    model.add(SpatialMaxPooling(2, 2, 2, 2).set_name("pool1"))
    model.add(SpatialConvolution(6, 12, 5, 5).set_name("conv2_5x5")).add(Tanh())
    model.add(SpatialMaxPooling(2, 2, 2, 2).set_name("pool2"))
    model.add(Reshape([12 * 4 * 4]))
    model.add(Linear(12 * 4 * 4, 100).set_name("fc1")).add(Tanh())
    return model.add(Linear(100, class_num).set_name("fc2")).add(LogSoftMax())
