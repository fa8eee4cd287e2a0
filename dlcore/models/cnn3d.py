"""3-D convolutional networks: C3D (Tran et al. 2015) for clips of video, and a small one for volumes of any size."""

from __future__ import annotations

from collections.abc import Sequence

from dlcore.nn.container import Sequential
from dlcore.nn.init import MsraFiller, Zeros
from dlcore.nn.layer import (
    Dropout,
    InferReshape,
    Linear,
    LogSoftMax,
    Mean,
    ReLU,
    View,
    VolumetricConvolution,
    VolumetricMaxPooling,
)

C3D = (("1", (64,)), ("2", (128,)), ("3", (256, 256)), ("4", (512, 512)), ("5", (512, 512)))
"""(number of the block, planes of its convolutions)."""


def c3d(class_num: int = 487, dropout: float = 0.5) -> Sequential:
    """Clips (N, 3, 16, 112, 112) -> log-probabilities (N, class_num). 80 million parameters."""
    model, planes_in = Sequential(), 3
    for block, widths in C3D:
        for letter, planes in zip("ab", widths, strict=False):
            _add_convolution(model, f"{block}{letter}", planes_in, planes)
            planes_in = planes
        depth, pad = 1 if block == "1" else 2, 1 if block == "5" else 0
        pool = VolumetricMaxPooling(depth, 2, 2, depth, 2, 2, 0, pad, pad)
        model.add(pool.set_name(f"pool{block}"))
    model.add(View([512 * 4 * 4]))
    for name, size in (("6", 512 * 4 * 4), ("7", 4096)):
        model.add(Linear(size, 4096).set_name(f"fc{name}")).add(ReLU(True)).add(Dropout(dropout))
    return model.add(Linear(4096, class_num).set_name("fc8")).add(LogSoftMax())


def cnn3d(class_num: int, n_input_plane: int = 1, planes: Sequence[int] = (16, 32, 64)) -> Sequential:
    """Volumes (N, n_input_plane, D, H, W) -> log-probabilities (N, class_num). 70,000 parameters by default.

    planes: of the convolutions, each of which is followed by maxima of 2x2x2; so each side is at least 2 **
    len(planes). The last maps are averaged, so that volumes may have any size.
    """
    model = Sequential()
    for position, width in enumerate(planes, start=1):
        _add_convolution(model, str(position), n_input_plane, width)
        model.add(VolumetricMaxPooling(2, 2, 2, 2, 2, 2).set_name(f"pool{position}"))
        n_input_plane = width
    model.add(InferReshape([0, -1], True)).add(Mean(3).set_name("average"))
    return model.add(Linear(n_input_plane, class_num).set_name("fc")).add(LogSoftMax())


def _add_convolution(model: Sequential, name: str, planes_in: int, planes: int) -> None:
    layer = VolumetricConvolution(planes_in, planes, 3, 3, 3, 1, 1, 1, 1, 1, 1).set_name(f"conv{name}")
    layer.set_init_method(MsraFiller(False), Zeros())
    model.add(layer).add(ReLU(True).set_name(f"relu{name}"))
