"""DeepBit: binary codes of images, learned without labels (Lin et al. 2016, "Learning Compact Binary Descriptors with
Unsupervised Deep Neural Networks"), on VGG16 as published and on a small residual network.

Both networks give [codes (N, bits), descriptor (N, D)]: a real value per bit, and the float features under the code
layer.
A bit is 1 where its value exceeds the model's threshold: 0 for the small network, and for VGG16 a number kept with the
model (the authors use the mean over all bits of the training images).
"""

from __future__ import annotations

from dataclasses import dataclass

from dlcore.models.blocks import ConvNorm
from dlcore.models.vgg import add_fully_connected, add_vgg_features
from dlcore.nn.container import Sequential
from dlcore.nn.graph import Graph, Node
from dlcore.nn.init import RandomNormal, Xavier, Zeros
from dlcore.nn.layer import (
    BatchNormalization,
    CAddTable,
    Input,
    JoinTable,
    Linear,
    ReLU,
    SpatialAveragePooling,
    SpatialMaxPooling,
    Tanh,
    View,
)


def deepbit_vgg16(bits: int = 32, dropout: float = 0.5) -> Graph:
    """VGG16 to fc7 and `fc8_kevin`, the code layer: (N, 3, 224, 224) -> [codes (N, bits), fc7 (N, 4096)]."""
    image = Input()
    trunk = add_fully_connected(add_vgg_features(Sequential()), dropout).set_name("vgg16")
    descriptor = trunk(image)
    code = Linear(4096, bits).set_name("fc8_kevin")
    code.set_init_method(RandomNormal(0.0, 0.01), Zeros())
    return Graph([image], [code(descriptor), descriptor])


@dataclass(frozen=True)
class DeepBitConfig:
    """The small network: input side in pixels, bits, planes of its stages, and residual blocks in each.

    size: a multiple of 2 ** len(planes), so that the last map is `size / 2**len(planes)` cells wide.
    """

    size: int = 96
    bits: int = 128
    planes: tuple[int, ...] = (24, 48, 96, 160)
    blocks: tuple[int, ...] = (1, 1, 1, 2)

    def __post_init__(self) -> None:
        if len(self.planes) != len(self.blocks):
            raise ValueError(
                f"DeepBitConfig: got {len(self.planes)} planes and {len(self.blocks)} blocks, expected as many"
            )
        if self.size % 2 ** len(self.planes):
            raise ValueError(f"DeepBitConfig: got size {self.size}, expected a multiple of {2 ** len(self.planes)}")

    @property
    def descriptor_size(self) -> int:
        """Length of the float descriptor: average and maximum of the last planes."""
        return 2 * self.planes[-1]


def _conv(name: str, planes_in: int, planes: int, kernel: int, stride: int, node: Node) -> Node:
    return ConvNorm(planes_in, planes, kernel, stride)(node, name, f"{name}_bn")


def _relu(name: str, node: Node) -> Node:
    return ReLU(True).set_name(f"{name}_relu")(node)


def _block(name: str, planes_in: int, planes: int, stride: int, node: Node) -> Node:
    """A residual block (He et al. 2016); where the shape changes, the input is carried by a 1x1 convolution."""
    first = _relu(f"{name}_1", _conv(f"{name}_1", planes_in, planes, 3, stride, node))
    second = _conv(f"{name}_2", planes, planes, 3, 1, first)
    is_same = stride == 1 and planes_in == planes
    carried = node if is_same else _conv(f"{name}_carry", planes_in, planes, 1, stride, node)
    return _relu(name, CAddTable().set_name(f"{name}_sum")([second, carried]))


def _trunk(config: DeepBitConfig, image: Node) -> Node:
    planes = config.planes[0]
    node = _relu("stem", _conv("stem", 3, planes, 3, 2, image))
    for stage, (width, count) in enumerate(zip(config.planes, config.blocks, strict=True), start=1):
        for i in range(1, count + 1):
            stride = 2 if i == 1 and stage > 1 else 1
            node = _block(f"stage{stage}_{i}", planes, width, stride, node)
            planes = width
    return node


def deepbit_small(config: DeepBitConfig | None = None) -> Graph:
    """(N, 3, size, size) -> [codes (N, bits) in (-1, 1), descriptor (N, descriptor_size)].

    About 0.18 GFLOP and 1 million parameters as configured by default. The last map is pooled by average and by
    maximum; a linear layer, batch normalisation without scale (it balances every bit over a batch) and tanh give the
    code.
    """
    config = config or DeepBitConfig()
    side, width = config.size // 2 ** len(config.planes), config.planes[-1]
    image = Input()
    map_ = _trunk(config, image)
    pools = [
        View([width]).set_name("average")(SpatialAveragePooling(side, side, side, side)(map_)),
        View([width]).set_name("maximum")(SpatialMaxPooling(side, side, side, side)(map_)),
    ]
    descriptor = JoinTable(1, 1).set_name("descriptor")(pools)
    layer = Linear(config.descriptor_size, config.bits, with_bias=False).set_name("code")
    layer.set_init_method(Xavier())
    balanced = BatchNormalization(config.bits, affine=False).set_name("code_bn")(layer(descriptor))
    return Graph([image], [Tanh().set_name("code_tanh")(balanced), descriptor])
