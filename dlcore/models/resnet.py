"""Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition"), for ImageNet and for CIFAR.

Layers are called as in the usual state dictionaries: `layer1.0.conv1`, `layer1.0.bn1`, `layer2.0.downsample.0`, `fc`.
The stride of a bottleneck is that of its 3x3 convolution, as in BigDL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcore.models.blocks import ConvNorm, pooled
from dlcore.nn.graph import Graph, Node
from dlcore.nn.layer import CAddTable, Input, Linear, Padding, ReLU, SpatialAveragePooling, SpatialMaxPooling

IMAGENET = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}
"""depth -> (whether its blocks are bottlenecks, blocks of each stage)."""
SHORTCUTS = ("A", "B")


@dataclass(frozen=True)
class _Body:
    """Stages of residual blocks.

    shortcut: how the input is carried where the shape changes: "A" pads missing planes with zeros, "B" is a 1x1
    convolution.
    """

    is_bottleneck: bool
    shortcut: str = "B"

    def stages(self, node: Node, planes_in: int, widths: Sequence[int], counts: Sequence[int]) -> tuple[Node, int]:
        """The last node and its planes; every stage but the first halves the picture."""
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True), start=1):
            for i in range(count):
                stride = 2 if i == 0 and stage > 1 else 1
                node = self._block(node, f"layer{stage}.{i}", planes_in, width, stride)
                planes_in = 4 * width if self.is_bottleneck else width
        return node, planes_in

    def _block(self, node: Node, name: str, planes_in: int, width: int, stride: int) -> Node:
        rows = self._rows(planes_in, width, stride)
        inner = node
        for i, row in enumerate(rows, start=1):
            inner = row(inner, f"{name}.conv{i}", f"{name}.bn{i}")
            if i < len(rows):
                inner = _relu(inner, f"{name}.relu{i}")
        carried = self._carried(node, name, planes_in, rows[-1].planes, stride)
        return _relu(CAddTable().set_name(f"{name}.sum")([inner, carried]), f"{name}.relu")

    def _rows(self, planes_in: int, width: int, stride: int) -> list[ConvNorm]:
        if not self.is_bottleneck:
            return [ConvNorm(planes_in, width, 3, stride), ConvNorm(width, width)]
        return [ConvNorm(planes_in, width, 1), ConvNorm(width, width, 3, stride), ConvNorm(width, 4 * width, 1)]

    def _carried(self, node: Node, name: str, planes_in: int, planes: int, stride: int) -> Node:
        if stride == 1 and planes_in == planes:
            return node
        if self.shortcut == "B":
            return ConvNorm(planes_in, planes, 1, stride)(node, f"{name}.downsample.0", f"{name}.downsample.1")
        thinned = SpatialAveragePooling(1, 1, stride, stride)(node)
        return Padding(1, planes - planes_in, 3)(thinned)


def _relu(node: Node, name: str) -> Node:
    return ReLU(True).set_name(name)(node)


def resnet(depth: int = 50, class_num: int = 1000) -> Graph:
    """ResNet for ImageNet: (N, 3, 224, 224) -> logits (N, class_num); other sizes of pictures as well.

    depth: 18, 34, 50, 101 or 152, of 11.7, 21.8, 25.6, 44.5 and 60.2 million parameters.

    Raises:
        ValueError: another depth.
    """
    if depth not in IMAGENET:
        raise ValueError(f"resnet: got depth {depth}, expected one of {sorted(IMAGENET)}; resnet_cifar has others")
    is_bottleneck, counts = IMAGENET[depth]
    image = Input()
    stem = _relu(ConvNorm(3, 64, 7, 2)(image, "conv1", "bn1"), "relu")
    node = SpatialMaxPooling(3, 3, 2, 2, 1, 1).set_name("maxpool")(stem)
    node, planes = _Body(is_bottleneck).stages(node, 64, (64, 128, 256, 512), counts)
    return Graph([image], [Linear(planes, class_num).set_name("fc")(pooled(node, planes, "avgpool"))])


def resnet_cifar(depth: int = 20, class_num: int = 10, shortcut: str = "A") -> Graph:
    """ResNet for CIFAR: (N, 3, 32, 32) -> logits (N, class_num); depth 20 has 0.27 million parameters, 110 has 1.7.

    depth: 6 n + 2, n blocks in each of three stages. shortcut: "A", as published, or "B", which learns more.

    Raises:
        ValueError: another depth or shortcut.
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"resnet_cifar: got depth {depth}, expected 6 n + 2: 20, 32, 44, 56, 110")
    if shortcut not in SHORTCUTS:
        raise ValueError(f"resnet_cifar: got shortcut {shortcut!r}, expected one of {SHORTCUTS}")
    image = Input()
    stem = _relu(ConvNorm(3, 16)(image, "conv1", "bn1"), "relu")
    node, planes = _Body(False, shortcut).stages(stem, 16, (16, 32, 64), [(depth - 2) // 6] * 3)
    return Graph([image], [Linear(planes, class_num).set_name("fc")(pooled(node, planes, "avgpool"))])
