"""SSD detectors: one configurable definition; SSD300 and SSD512 on VGG16 as published, and a small one to train on
CPUs.

The network gives [locations (N, P, 4), logits (N, P, C)] for P priors and C classes, the background first. What they
mean:
`dlcore.vision.priors`; from them to detections: `dlcore.vision.detection_output`.

Source: Liu et al. 2016, and the layer names and settings of the authors' Caffe models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from dlcore.activity import Array
from dlcore.nn.graph import Graph, Node
from dlcore.nn.init import MsraFiller, Xavier, Zeros
from dlcore.nn.layer import (
    CAddTable,
    InferReshape,
    Input,
    JoinTable,
    NormalizeScale,
    ReLU,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
    Transpose,
)
from dlcore.vision.priors import PriorLevel, prior_boxes

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True)
class Conv:
    """A row of the body: convolution (and batch normalisation, if the network has it) and ReLU."""

    name: str
    planes: int
    kernel: int = 3
    stride: int = 1
    pad: int = 1
    dilation: int = 1


@dataclass(frozen=True)
class Residual:
    """A row of the body: two 3x3 convolutions with batch normalisation around which the input is carried (He et al.
    2016)."""

    name: str


@dataclass(frozen=True)
class Pool:
    """A row of the body: max pooling; sizes round up."""

    name: str
    kernel: int = 2
    stride: int = 2
    pad: int = 0


Row: TypeAlias = Conv | Residual | Pool


@dataclass(frozen=True)
class Source:
    """A feature map that predicts: the body row it comes from, its priors, and whether it is normalised first."""

    row: str
    priors: PriorLevel
    normalised: bool = False


@dataclass(frozen=True)
class SsdConfig:
    """A detector: square input of `size` pixels, class names (background first), body and sources."""

    size: int
    classes: tuple[str, ...]
    body: tuple[Row, ...]
    sources: tuple[Source, ...]
    batch_norm: bool = False
    clip_priors: bool = False

    def priors(self) -> Array:
        """The prior boxes (P, 4), in the order of the network's outputs."""
        return prior_boxes([source.priors for source in self.sources], self.size, self.clip_priors)


def _convolution(row: Conv, planes_in: int, has_bias: bool) -> SpatialConvolution | SpatialDilatedConvolution:
    k, s, p, d = row.kernel, row.stride, row.pad, row.dilation
    if d > 1:
        return SpatialDilatedConvolution(planes_in, row.planes, k, k, s, s, p, p, d, d)
    return SpatialConvolution(
        planes_in, row.planes, k, k, s, s, p, p, propagate_back=planes_in != 3, with_bias=has_bias
    )


class _Builder:
    """Adds rows to a graph, keeping the width of every node."""

    def __init__(self, config: SsdConfig) -> None:
        self.config = config
        self.image = Input()
        self.named: dict[str, tuple[Node, int]] = {}

    def normalised(self, convolution: Node, name: str, planes: int) -> Node:
        if not self.config.batch_norm:
            return convolution
        norm = SpatialBatchNormalization(planes, init_weight=np.ones(planes, np.float32))
        return norm.set_name(f"{name}_bn")(convolution)

    def conv(self, row: Conv, node: Node, planes_in: int) -> Node:
        """Convolution, normalisation where the configuration asks for it, ReLU."""
        layer = _convolution(row, planes_in, not self.config.batch_norm).set_name(row.name)
        layer.set_init_method(MsraFiller(False), Zeros() if layer.bias is not None else None)
        rectified = ReLU(True).set_name(f"{row.name}_relu")
        return rectified(self.normalised(layer(node), row.name, row.planes))

    def residual(self, row: Residual, node: Node, planes: int) -> Node:
        """Two convolutions beside a short cut: (N, planes, H, W) -> the same shape."""
        first = self.conv(Conv(f"{row.name}_1", planes), node, planes)
        layer = _convolution(Conv("", planes), planes, not self.config.batch_norm).set_name(f"{row.name}_2")
        layer.set_init_method(MsraFiller(False), Zeros() if layer.bias is not None else None)
        second = self.normalised(layer(first), f"{row.name}_2", planes)
        total = CAddTable().set_name(f"{row.name}_sum")([second, node])
        return ReLU(True).set_name(f"{row.name}_relu")(total)

    def body(self) -> None:
        """Every row of the configuration's body, each under its name in `named` with its planes."""
        node, planes = self.image, 3
        for row in self.config.body:
            if isinstance(row, Conv):
                node, planes = self.conv(row, node, planes), row.planes
            elif isinstance(row, Residual):
                node = self.residual(row, node, planes)
            else:
                k, s, p = row.kernel, row.stride, row.pad
                node = SpatialMaxPooling(k, k, s, s, p, p, to_ceil=True).set_name(row.name)(node)
            self.named[row.name] = node, planes

    def head(self, source: Source, suffix: str, width: int) -> Node:
        """Predictions of one map as rows (N, H * W * priors, width)."""
        node, planes = self.named[source.row]
        name = source.row
        if source.normalised:
            name = f"{source.row}_norm"
            node = self.scaled(name, node, planes)
        layer = SpatialConvolution(planes, source.priors.per_cell * width, 3, 3, 1, 1, 1, 1)
        layer.set_name(f"{name}_mbox_{suffix}").set_init_method(Xavier(), Zeros())
        rows = Transpose([(2, 3), (3, 4)])(layer(node))
        return InferReshape([-1, width], True)(rows)

    def scaled(self, name: str, node: Node, planes: int) -> Node:
        if name not in self.named:
            layer = NormalizeScale(2.0, 20.0, [1, planes, 1, 1]).set_name(name)
            self.named[name] = layer(node), planes
        return self.named[name][0]

    def output(self, suffix: str, width: int) -> Node:
        parts = [self.head(source, suffix, width) for source in self.config.sources]
        return JoinTable(1, 2).set_name(f"mbox_{suffix}")(parts)


def ssd(config: SsdConfig) -> Graph:
    """The network of `config`: (N, 3, size, size) -> [locations (N, P, 4), logits (N, P, C)].

    Raises:
        ValueError: a source names a row that the body does not have.
    """
    builder = _Builder(config)
    builder.body()
    unknown = [source.row for source in config.sources if source.row not in builder.named]
    if unknown:
        raise ValueError(f"got sources {unknown}, expected rows of the body: {list(builder.named)}")
    outputs = [builder.output("loc", 4), builder.output("conf", len(config.classes))]
    return Graph([builder.image], outputs)


# --- the published networks -------------------------------------------------------------------------------------------

_VGG = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def _vgg_body() -> tuple[Row, ...]:
    """VGG16 to fc7 as SSD has it: sizes round up, pool5 keeps the size, fc6 is a dilated convolution."""
    rows: list[Row] = []
    for block, (count, planes) in enumerate(_VGG, start=1):
        rows += [Conv(f"conv{block}_{i}", planes) for i in range(1, count + 1)]
        rows.append(Pool(f"pool{block}") if block < 5 else Pool("pool5", 3, 1, 1))
    return (*rows, Conv("fc6", 1024, pad=6, dilation=6), Conv("fc7", 1024, kernel=1, pad=0))


def _extra(block: int, narrow: int, last: Conv) -> tuple[Row, ...]:
    return Conv(f"conv{block}_1", narrow, kernel=1, pad=0), replace(last, name=f"conv{block}_2")


def _sources(
    rows: tuple[str, ...], sides: tuple[int, ...], steps: tuple[int, ...], sizes: tuple[float, ...]
) -> tuple[Source, ...]:
    """Sources whose first and last two maps have aspect ratio 2, the others 2 and 3."""
    found = []
    for i, (row, side, step) in enumerate(zip(rows, sides, steps, strict=True)):
        ratios = (2.0,) if i == 0 or i >= len(rows) - 2 else (2.0, 3.0)
        level = PriorLevel(side, step, sizes[i], sizes[i + 1], ratios)
        found.append(Source(row, level, normalised=row == "conv4_3"))
    return tuple(found)


def ssd300_vgg16(classes: tuple[str, ...] = VOC_CLASSES) -> SsdConfig:
    """SSD300 on VGG16 with the sizes for PASCAL VOC: 8,732 priors."""
    halving, valid = Conv("", 256, stride=2), Conv("", 256, pad=0)
    extras = (
        _extra(6, 256, replace(halving, planes=512))
        + _extra(7, 128, halving)
        + _extra(8, 128, valid)
        + _extra(9, 128, valid)
    )
    rows = ("conv4_3", "fc7", "conv6_2", "conv7_2", "conv8_2", "conv9_2")
    sources = _sources(rows, (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300), (30, 60, 111, 162, 213, 264, 315))
    return SsdConfig(300, classes, _vgg_body() + extras, sources)


def ssd512_vgg16(classes: tuple[str, ...] = VOC_CLASSES) -> SsdConfig:
    """SSD512 on VGG16 with the sizes for PASCAL VOC: 24,564 priors."""
    halving = Conv("", 256, stride=2)
    extras = (
        _extra(6, 256, replace(halving, planes=512))
        + _extra(7, 128, halving)
        + _extra(8, 128, halving)
        + _extra(9, 128, halving)
        + _extra(10, 128, Conv("", 256, kernel=4, pad=1))
    )
    rows = ("conv4_3", "fc7", "conv6_2", "conv7_2", "conv8_2", "conv9_2", "conv10_2")
    sizes = (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6)
    sources = _sources(rows, (64, 32, 16, 8, 4, 2, 1), (8, 16, 32, 64, 128, 256, 512), sizes)
    return SsdConfig(512, classes, _vgg_body() + extras, sources)


# --- the small network ------------------------------------------------------------------------------------------------


def ssd_small(classes: tuple[str, ...], size: int = 192, width: int = 32) -> SsdConfig:
    """A residual detector of about 0.4 GFLOP at 192 pixels, to be trained from scratch on CPUs.

    Maps at strides 8, 16, 32 and 64 (24, 12, 6, 3 cells at 192 pixels), `width` planes at stride 4 and up to 6 times
    that.
    The body halves by strided convolutions; batch normalisation everywhere, which a Plan folds away.

    Raises:
        ValueError: `size` is not a multiple of 32.
    """
    if size % 32:
        raise ValueError(f"ssd_small: got size {size}, expected a multiple of 32")
    body: tuple[Row, ...] = (
        Conv("stem", width // 2, stride=2),
        Conv("down4", width, stride=2),
        Residual("block4"),
        Conv("down8", 2 * width, stride=2),
        Residual("block8"),
        Conv("down16", 4 * width, stride=2),
        Residual("block16"),
        Conv("down32", 6 * width, stride=2),
        Residual("block32"),
        Conv("down64", 6 * width, stride=2),
    )
    levels = {"block8": 8, "block16": 16, "block32": 32, "down64": 64}
    fractions = (0.08, 0.16, 0.32, 0.56, 0.86)
    sources = []
    for i, (row, stride) in enumerate(levels.items()):
        side = -(-size // stride)
        level = PriorLevel(
            side, size / side, fractions[i] * size, fractions[i + 1] * size, (2.0,) if i == 0 else (2.0, 3.0)
        )
        sources.append(Source(row, level))
    return SsdConfig(size, classes, body, tuple(sources), batch_norm=True)
