"""EfficientNet-Lite0 to Lite4: EfficientNet (Tan and Le 2019) without squeeze-and-excitation and with ReLU6, for small
machines.

Layers are called as in the PyTorch port's state dictionaries: `_conv_stem`, `_blocks.0._depthwise_conv`, `_bn1`, `_fc`.
Padding is TensorFlow's SAME; batch normalisation has eps 1e-3. The published weights want RGB, (x - 127) / 128.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlcore.models.blocks import ConvNorm, divisible, pooled
from dlcore.nn.graph import Graph, Node
from dlcore.nn.layer import CAddTable, Dropout, Input, Linear, ReLU6
from dlcore.nn.layout import SAME

EPS = 1e-3


@dataclass(frozen=True)
class Scaling:
    """How a network of the family is scaled: times the planes, times the blocks, side of the picture in pixels,
    dropout."""

    width: float
    depth: float
    size: int
    dropout: float


LITE = (
    Scaling(1.0, 1.0, 224, 0.2),
    Scaling(1.0, 1.1, 240, 0.2),
    Scaling(1.1, 1.2, 260, 0.3),
    Scaling(1.2, 1.4, 280, 0.3),
    Scaling(1.4, 1.8, 300, 0.3),
)
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
"""(blocks, kernel, stride of the first block, times the planes are widened, planes)."""
STEM, HEAD = 32, 1280


def efficientnet_lite(variant: int = 0, class_num: int = 1000) -> Graph:
    """(N, 3, size, size) -> logits (N, class_num), with the size of `LITE[variant]`; other sizes as well.

    variant: 0 to 4, of 4.7, 5.4, 6.1, 8.2 and 13.0 million parameters.

    Raises:
        ValueError: another variant.
    """
    if variant not in range(len(LITE)):
        raise ValueError(f"efficientnet_lite: got variant {variant}, expected 0 to {len(LITE) - 1}")
    scaling, image = LITE[variant], Input()
    stem = _relu6(ConvNorm(3, STEM, 3, 2, SAME, eps=EPS)(image, "_conv_stem", "_bn0"), "_relu0")
    node, planes = _stages(stem, scaling)
    node = _relu6(ConvNorm(planes, HEAD, 1, eps=EPS)(node, "_conv_head", "_bn1"), "_relu1")
    kept = Dropout(scaling.dropout).set_name("_dropout")(pooled(node, HEAD, "_avg_pooling"))
    return Graph([image], [Linear(HEAD, class_num).set_name("_fc")(kept)])


def _stages(node: Node, scaling: Scaling) -> tuple[Node, int]:
    """The last node of the last stage and its planes. The first and the last stage keep their number of blocks."""
    planes_in, position = STEM, 0
    for stage, (count, kernel, first_stride, times, base) in enumerate(STAGES, start=1):
        planes = divisible(base * scaling.width)
        repeats = count if stage in (1, len(STAGES)) else math.ceil(count * scaling.depth)
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            shape = _Shape(planes_in, planes_in * times, planes, kernel, stride)
            node = _block(node, f"_blocks.{position}", shape)
            planes_in, position = planes, position + 1
    return node, planes_in


@dataclass(frozen=True)
class _Shape:
    """The shape of a block: planes before, widened and after; kernel and stride of the depthwise convolution."""

    before: int
    wide: int
    after: int
    kernel: int
    stride: int


def _block(node: Node, name: str, shape: _Shape) -> Node:
    inner, wide = node, shape.wide
    if wide != shape.before:
        widened = ConvNorm(shape.before, wide, 1, eps=EPS)(node, f"{name}._expand_conv", f"{name}._bn0")
        inner = _relu6(widened, f"{name}._relu0")
    depthwise = ConvNorm(wide, wide, shape.kernel, shape.stride, SAME, wide, EPS)
    inner = _relu6(depthwise(inner, f"{name}._depthwise_conv", f"{name}._bn1"), f"{name}._relu1")
    narrow = ConvNorm(wide, shape.after, 1, eps=EPS)(inner, f"{name}._project_conv", f"{name}._bn2")
    is_carried = shape.stride == 1 and shape.before == shape.after
    return CAddTable().set_name(f"{name}.sum")([narrow, node]) if is_carried else narrow


def _relu6(node: Node, name: str) -> Node:
    return ReLU6(True).set_name(name)(node)
