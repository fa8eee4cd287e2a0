"""AlexNet (Krizhevsky et al. 2012), as the Caffe model has it, and in one column (Krizhevsky 2014, "One weird
trick")."""

from __future__ import annotations

from dlcore.nn.container import Sequential
from dlcore.nn.layer import (
    Dropout,
    Linear,
    LogSoftMax,
    ReLU,
    SpatialConvolution,
    SpatialCrossMapLRN,
    SpatialMaxPooling,
    View,
)


def alexnet(class_num: int = 1000, has_dropout: bool = True) -> Sequential:
    """(N, 3, 227, 227) -> log-probabilities (N, class_num). 61 million parameters, convolutions in two groups.

    Source: BigDL's AlexNet; Caffe's bvlc_alexnet.
    """
    model = Sequential()
    _add_convolution(model, "1", SpatialConvolution(3, 96, 11, 11, 4, 4, propagate_back=False))
    _add_pooling(model, "1", True)
    _add_convolution(model, "2", SpatialConvolution(96, 256, 5, 5, 1, 1, 2, 2, 2))
    _add_pooling(model, "2", True)
    _add_convolution(model, "3", SpatialConvolution(256, 384, 3, 3, 1, 1, 1, 1))
    _add_convolution(model, "4", SpatialConvolution(384, 384, 3, 3, 1, 1, 1, 1, 2))
    _add_convolution(model, "5", SpatialConvolution(384, 256, 3, 3, 1, 1, 1, 1, 2))
    _add_pooling(model, "5", False)
    return _add_classifier(model, class_num, has_dropout)


def alexnet_owt(class_num: int = 1000, has_dropout: bool = True) -> Sequential:
    """(N, 3, 224, 224) -> log-probabilities (N, class_num). 61 million parameters, one column, no normalisation.

    Source: BigDL's AlexNet_OWT.
    """
    model = Sequential()
    _add_convolution(model, "1", SpatialConvolution(3, 64, 11, 11, 4, 4, 2, 2, propagate_back=False))
    _add_pooling(model, "1", False)
    _add_convolution(model, "2", SpatialConvolution(64, 192, 5, 5, 1, 1, 2, 2))
    _add_pooling(model, "2", False)
    _add_convolution(model, "3", SpatialConvolution(192, 384, 3, 3, 1, 1, 1, 1))
    _add_convolution(model, "4", SpatialConvolution(384, 256, 3, 3, 1, 1, 1, 1))
    _add_convolution(model, "5", SpatialConvolution(256, 256, 3, 3, 1, 1, 1, 1))
    _add_pooling(model, "5", False)
    return _add_classifier(model, class_num, has_dropout)


def _add_convolution(model: Sequential, position: str, layer: SpatialConvolution) -> None:
    model.add(layer.set_name(f"conv{position}")).add(ReLU(True).set_name(f"relu{position}"))


def _add_pooling(model: Sequential, position: str, is_normalised: bool) -> None:
    if is_normalised:
        model.add(SpatialCrossMapLRN(5, 1e-4, 0.75).set_name(f"norm{position}"))
    model.add(SpatialMaxPooling(3, 3, 2, 2).set_name(f"pool{position}"))


def _add_classifier(model: Sequential, class_num: int, has_dropout: bool) -> Sequential:
    model.add(View([256 * 6 * 6]))
    for position, size in (("6", 256 * 6 * 6), ("7", 4096)):
        model.add(Linear(size, 4096).set_name(f"fc{position}")).add(ReLU(True).set_name(f"relu{position}"))
        if has_dropout:
            model.add(Dropout(0.5).set_name(f"drop{position}"))
    return model.add(Linear(4096, class_num).set_name("fc8")).add(LogSoftMax().set_name("loss"))
