"""SSD on EfficientNet-Lite0: its stages 1 to 5 as published, the first blocks of stage 6 to be trained on, heads at
four levels.

The network is made of two. The *trunk* keeps its published weights, so that what it gives of a picture can be computed
once. The *upper* network learns: it has no batch normalisation (that of its two blocks is folded into their
convolutions), so a small batch moves nothing.

`ssd_lite0` joins them: [locations (N, P, 4), logits (N, P, C)], the background first, as `dlcore.models.ssd` has them.
Source: Liu et al. 2016; Tan and Le 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.models.pretrained import pretrained_efficientnet_lite0
from dlcore.models.ssd import Source
from dlcore.nn.graph import Graph, Node
from dlcore.nn.init import MsraFiller, Xavier, Zeros
from dlcore.nn.layer import (
    CAddTable,
    InferReshape,
    Input,
    JoinTable,
    ReLU,
    ReLU6,
    SpatialConvolution,
    Transpose,
)
from dlcore.nn.layout import SAME
from dlcore.nn.module import Module
from dlcore.vision.preprocessing import Preprocessing
from dlcore.vision.priors import PriorLevel, prior_boxes

TRUNK, TRUNK_PLANES = "trunk", 112
_TRUNK_END = "_blocks.10.sum"  # the last node of stage 5
_BLOCKS = (("_blocks.11", TRUNK_PLANES, 192, 2), ("_blocks.12", 192, 192, 1))  # name, planes before and after, stride
BLOCK_LAYERS = tuple(f"{name}.{part}_conv" for name, *_ in _BLOCKS for part in ("_expand", "_depthwise", "_project"))
"""Names of the convolutions of the upper network that have published weights."""
_EXPANSION, _KERNEL = 6, 5
_EXTENTS = (0.1, 0.24, 0.46, 0.72, 0.98)  # of the priors, as shares of the side: from each level's to the next


@dataclass(frozen=True)
class SsdLite0Config:
    """A detector on Lite0: class names (background first), side of its input in pixels, a multiple of 32 from 160 to
    224, and planes of its heads."""

    classes: tuple[str, ...]
    size: int = 192
    width: int = 96

    def __post_init__(self) -> None:
        if self.size % 32 or not 160 <= self.size <= 224:
            raise ValueError(f"SsdLite0Config: got size {self.size}, expected a multiple of 32 from 160 to 224")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The four levels: maps at strides 16, 32 and 64, and one cell for the whole picture."""
        sides = (self.size // 16, self.size // 32, -(-self.size // 64), 1)
        return tuple(
            Source(f"level{n}", PriorLevel(side, self.size / side, first * self.size, last * self.size, (2.0, 3.0)))
            for n, (side, first, last) in enumerate(zip(sides, _EXTENTS[:-1], _EXTENTS[1:], strict=True), start=1)
        )

    def priors(self) -> Array:
        """The prior boxes (P, 4), in the order of the network's outputs."""
        return prior_boxes([source.priors for source in self.sources], self.size)

    @property
    def preprocessing(self) -> Preprocessing:
        """How the published weights want their pictures, at this size."""
        return Preprocessing(self.size, mean=(127.0, 127.0, 127.0), scale=(1 / 128, 1 / 128, 1 / 128))


def lite0_trunk() -> Graph:
    """Stages 1 to 5 with their published weights, in evaluation mode: (N, 3, S, S) -> (N, 112, S / 16, S / 16).

    Raises:
        ModuleNotFoundError, ModelFormatError: see `pretrained_efficientnet_lite0`.
    """
    trunk = pretrained_efficientnet_lite0().new_graph(_TRUNK_END)
    trunk.training(False)
    return trunk


def ssd_lite0_upper(config: SsdLite0Config) -> Graph:
    """What learns: the trunk's maps (N, 112, S / 16, S / 16) -> [locations (N, P, 4), logits (N, P, C)]."""
    maps, width = Input(), config.width
    deep = maps
    for name, before, after, stride in _BLOCKS:
        deep = _block(deep, name, before, after, stride)
    level2 = _rectified(deep, "reduce2", 192, width, 1)
    level3 = _rectified(level2, "down3", width, width, 3, 2, 1)
    side = config.sources[2].priors.side
    levels = [
        _rectified(_rectified(maps, "reduce1", TRUNK_PLANES, width, 1), "hidden1", width, width, 3, 1, 1),
        _rectified(level2, "hidden2", width, width, 3, 1, 1),
        _rectified(level3, "hidden3", width, width, 3, 1, 1),
        _rectified(level3, "hidden4", width, width, side, 1, 0),
    ]
    outputs = [
        JoinTable(1, 2).set_name(kind)([
            _rows(level, f"{kind}{n}", width, source.priors.per_cell, values)
            for n, (level, source) in enumerate(zip(levels, config.sources, strict=True), start=1)
        ])
        for kind, values in (("locations", 4), ("logits", len(config.classes)))
    ]  # fmt: skip
    return Graph([maps], outputs)


def start_from_published(upper: Graph) -> Graph:
    """Give the blocks of `upper` their published weights, batch normalisation folded in."""
    published = pretrained_efficientnet_lite0()
    for name, *_ in _BLOCKS:
        for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
            _fold(published.find(f"{name}.{conv}"), published.find(f"{name}.{norm}"), upper.find(f"{name}.{conv}"))
    return upper


def ssd_lite0(trunk: Module, upper: Module) -> Graph:
    """The whole network: (N, 3, S, S) -> [locations (N, P, 4), logits (N, P, C)]."""
    image = Input()
    maps = trunk.set_name(TRUNK)(image)
    return Graph([image], [upper.set_name("upper")(maps)])


def _fold(convolution: Module, norm: Module, target: Module) -> None:
    """Let `target`, a convolution with bias, compute what the two layers do in evaluation mode."""
    scale = norm.weight.value / np.sqrt(norm.running_var.value + norm.eps)
    target.weight.assign(convolution.weight.value * scale.reshape(-1, 1, 1, 1))
    target.bias.assign(norm.bias.value - norm.running_mean.value * scale)


def _block(node: Node, name: str, before: int, after: int, stride: int) -> Node:
    """An inverted block of stage 6 whose normalisation is folded in."""
    wide = before * _EXPANSION
    inner = _relu6(_convolution(before, wide, 1, f"{name}._expand_conv")(node), f"{name}._relu0")
    depthwise = _convolution(wide, wide, _KERNEL, f"{name}._depthwise_conv", stride, SAME, wide)
    inner = _relu6(depthwise(inner), f"{name}._relu1")
    narrow = _convolution(wide, after, 1, f"{name}._project_conv")(inner)
    return CAddTable().set_name(f"{name}.sum")([narrow, node]) if stride == 1 and before == after else narrow


def _convolution(
    before: int, after: int, kernel: int, name: str, stride: int = 1, pad: int = 0, groups: int = 1
) -> SpatialConvolution:
    layer = SpatialConvolution(before, after, kernel, kernel, stride, stride, pad, pad, groups)
    layer.set_name(name).set_init_method(MsraFiller(False), Zeros())
    return layer


def _relu6(node: Node, name: str) -> Node:
    return ReLU6(True).set_name(name)(node)


def _rectified(node: Node, name: str, before: int, after: int, kernel: int, stride: int = 1, pad: int = 0) -> Node:
    return ReLU(True).set_name(f"{name}_relu")(_convolution(before, after, kernel, name, stride, pad)(node))


def _rows(node: Node, name: str, planes: int, per_cell: int, values: int) -> Node:
    """Predictions of one level as rows (N, H * W * per_cell, values)."""
    layer = _convolution(planes, per_cell * values, 1, name)
    layer.set_init_method(Xavier(), Zeros())
    return InferReshape([-1, values], True)(Transpose([(2, 3), (3, 4)])(layer(node)))
