"""MobileNets: v1 (Howard et al. 2017) of depthwise separable convolutions, v2 (Sandler et al. 2018) of inverted
residuals."""

from __future__ import annotations

from dlcore.models.blocks import ConvNorm, divisible, pooled
from dlcore.nn.graph import Graph, Node
from dlcore.nn.layer import CAddTable, Dropout, Input, Linear, ReLU, ReLU6

V1 = (
    ("conv2_1", 64, 1), ("conv2_2", 128, 2), ("conv3_1", 128, 1), ("conv3_2", 256, 2), ("conv4_1", 256, 1),
    ("conv4_2", 512, 2), ("conv5_1", 512, 1), ("conv5_2", 512, 1), ("conv5_3", 512, 1), ("conv5_4", 512, 1),
    ("conv5_5", 512, 1), ("conv5_6", 1024, 2), ("conv6", 1024, 1),
)  # fmt: skip
"""(name, planes, stride) of each separable convolution."""
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(times the planes are widened, planes, blocks, stride of the first block)."""


def mobilenet_v1(class_num: int = 1000, width: float = 1.0) -> Graph:
    """(N, 3, 224, 224) -> logits (N, class_num); other sizes as well. 4.2 million parameters at width 1.

    width: times the planes of every layer. Layers are called as in the Caffe model: `conv2_1/dw`, `conv2_1/sep`, `fc7`.
    """
    image, planes_in = Input(), divisible(32 * width)
    node = ReLU(True).set_name("relu1")(ConvNorm(3, planes_in, 3, 2)(image, "conv1", "conv1/bn"))
    for name, base, stride in V1:
        planes = divisible(base * width)
        deep = ConvNorm(planes_in, planes_in, 3, stride, groups=planes_in)(node, f"{name}/dw", f"{name}/dw/bn")
        deep = ReLU(True).set_name(f"relu{name[4:]}/dw")(deep)
        flat = ConvNorm(planes_in, planes, 1)(deep, f"{name}/sep", f"{name}/sep/bn")
        node = ReLU(True).set_name(f"relu{name[4:]}/sep")(flat)
        planes_in = planes
    return Graph([image], [Linear(planes_in, class_num).set_name("fc7")(pooled(node, planes_in, "pool6"))])


def mobilenet_v2(class_num: int = 1000, width: float = 1.0, dropout: float = 0.2) -> Graph:
    """(N, 3, 224, 224) -> logits (N, class_num); other sizes as well. 3.5 million parameters at width 1.

    Layers are called as in the usual state dictionaries: `features.1.conv.0.0`, `features.18.0`, `classifier.1`.
    """
    image, planes_in, position = Input(), divisible(32 * width), 1
    node = _relu6(ConvNorm(3, planes_in, 3, 2)(image, "features.0.0", "features.0.1"), "features.0.2")
    for times, base, count, first_stride in V2:
        planes = divisible(base * width)
        for i in range(count):
            stride = first_stride if i == 0 else 1
            node = _inverted(node, f"features.{position}", (planes_in, planes_in * times, planes), stride)
            planes_in, position = planes, position + 1
    last = max(1280, divisible(1280 * width))
    name = f"features.{position}"
    node = _relu6(ConvNorm(planes_in, last, 1)(node, f"{name}.0", f"{name}.1"), f"{name}.2")
    kept = Dropout(dropout).set_name("classifier.0")(pooled(node, last, "pool"))
    return Graph([image], [Linear(last, class_num).set_name("classifier.1")(kept)])


def _inverted(node: Node, name: str, planes: tuple[int, int, int], stride: int) -> Node:
    """Widened by 1x1, filtered plane by plane, narrowed by 1x1 without activation; planes: before, wide, after."""
    before, wide, after = planes
    rows = [ConvNorm(wide, wide, 3, stride, groups=wide)]
    if wide != before:
        rows.insert(0, ConvNorm(before, wide, 1))
    inner = node
    for i, row in enumerate(rows):
        inner = _relu6(row(inner, f"{name}.conv.{i}.0", f"{name}.conv.{i}.1"), f"{name}.conv.{i}.2")
    narrow = ConvNorm(wide, after, 1)(inner, f"{name}.conv.{len(rows)}", f"{name}.conv.{len(rows) + 1}")
    is_carried = stride == 1 and before == after
    return CAddTable().set_name(f"{name}.sum")([narrow, node]) if is_carried else narrow


def _relu6(node: Node, name: str) -> Node:
    return ReLU6(True).set_name(name)(node)
