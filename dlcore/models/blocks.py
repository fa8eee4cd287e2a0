"""What the networks are built of: a convolution with batch normalisation, and the end of a classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.nn.graph import Node
from dlcore.nn.init import MsraFiller, Zeros
from dlcore.nn.layer import SpatialAveragePooling, SpatialBatchNormalization, SpatialConvolution, View


@dataclass(frozen=True)
class ConvNorm:
    """A square convolution and the batch normalisation of its planes: (N, planes_in, H, W) -> (N, planes, H', W').

    pad None keeps the size at stride 1 (half of the kernel); -1 pads as TensorFlow's SAME does, more after than before.
    A convolution of pictures (3 planes in) hands no gradient back.
    """

    planes_in: int
    planes: int
    kernel: int = 3
    stride: int = 1
    pad: int | None = None
    groups: int = 1
    eps: float = 1e-5
    with_bias: bool = False

    def __call__(self, node: Node, conv: str, norm: str) -> Node:
        """The node of the normalised convolution; `conv` and `norm` name the two layers."""
        k, s, p = self.kernel, self.stride, self.kernel // 2 if self.pad is None else self.pad
        layer = SpatialConvolution(
            self.planes_in, self.planes, k, k, s, s, p, p, self.groups, self.planes_in != 3, with_bias=self.with_bias
        )
        layer.set_name(conv).set_init_method(MsraFiller(False), Zeros() if self.with_bias else None)
        scale = SpatialBatchNormalization(self.planes, self.eps, init_weight=np.ones(self.planes, np.float32))
        return scale.set_name(norm)(layer(node))


def pooled(node: Node, planes: int, name: str) -> Node:
    """The mean of each plane: (N, planes, H, W) -> (N, planes)."""
    mean = SpatialAveragePooling(1, 1, global_pooling=True).set_name(name)
    return View([planes], 3)(mean(node))


def divisible(planes: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `planes`, the next one where that loses more than a tenth (Howard et al. 2017,
    their code)."""
    rounded = max(by, int(planes + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * planes else rounded
