"""Inception v1 (Szegedy et al. 2015, "Going Deeper with Convolutions") and v2 (Ioffe and Szegedy 2015), as BigDL builds
them.

Layers are called as in the Caffe models: `conv1/7x7_s2`, `inception_3a/output`, `pool5/drop_7x7_s1`,
`loss3/classifier`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dlcore.nn.graph import Graph, Node
from dlcore.nn.init import ConstInitMethod, Xavier
from dlcore.nn.layer import (
    Dropout,
    Input,
    JoinTable,
    Linear,
    LogSoftMax,
    ReLU,
    SpatialAveragePooling,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialCrossMapLRN,
    SpatialMaxPooling,
    View,
)

Conv: TypeAlias = tuple[str, int, int, int]
"""A convolution: (name, planes, kernel, stride)."""


@dataclass(frozen=True)
class _Builder:
    """Adds layers to nodes; with `has_norm` each convolution is normalised."""

    has_norm: bool

    def conv(self, node: Node, prefix: str, row: Conv, planes_in: int) -> Node:
        """Convolution, normalisation, ReLU, the name of each under the prefix."""
        name, planes, k, stride = row
        pad = k // 2
        layer = SpatialConvolution(
            planes_in, planes, k, k, stride, stride, pad, pad, propagate_back=planes_in != 3
        ).set_name(f"{prefix}{name}")
        layer.set_init_method(Xavier(), ConstInitMethod(0.1))
        node, rectified = layer(node), f"{prefix}relu_{name.removesuffix('_s2')}"
        if self.has_norm:
            norm = SpatialBatchNormalization(planes, 1e-3, init_weight=np.ones(planes, np.float32))
            node, rectified = norm.set_name(f"{prefix}{name}/bn")(node), f"{prefix}{name}/bn/sc"
        return ReLU(True).set_name(rectified)(node)

    def column(self, node: Node, prefix: str, rows: list[Conv], planes_in: int) -> Node:
        """Convolutions one after the other."""
        for row in rows:
            node, planes_in = self.conv(node, prefix, row, planes_in), row[1]
        return node

    def auxiliary(self, node: Node, number: int, pool: str, planes_in: int, side: int, class_num: int) -> Node:
        """A classifier half way: log-probabilities (N, class_num) from maps that pooling makes `side` wide."""
        prefix = f"loss{number}/"
        mean = SpatialAveragePooling(5, 5, 3, 3, ceil_mode=True).set_name(pool)
        node = self.conv(mean(node), prefix, ("conv", 128, 1, 1), planes_in)
        flat = View([128 * side * side], 3)(node)
        hidden = ReLU(True).set_name(f"{prefix}relu_fc")(Linear(128 * side * side, 1024).set_name(f"{prefix}fc")(flat))
        if not self.has_norm:
            hidden = Dropout(0.7).set_name(f"{prefix}drop_fc")(hidden)
        return _classified(hidden, number, class_num)


def _classified(node: Node, number: int, class_num: int) -> Node:
    layer = Linear(1024, class_num).set_name(f"loss{number}/classifier")
    layer.set_init_method(Xavier())
    return LogSoftMax().set_name(f"loss{number}/loss{number if number == 3 else ''}")(layer(node))


def _max_pooled(node: Node, name: str) -> Node:
    return SpatialMaxPooling(3, 3, 2, 2, to_ceil=True).set_name(name)(node)


def _end(node: Node, has_dropout: bool, class_num: int) -> Node:
    node = SpatialAveragePooling(7, 7, global_pooling=True).set_name("pool5/7x7_s1")(node)
    if has_dropout:
        node = Dropout(0.4).set_name("pool5/drop_7x7_s1")(node)
    return _classified(View([1024], 3)(node), 3, class_num)


# --- v1 ---------------------------------------------------------------------------------------------------------------

V1 = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""block -> planes of 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj."""


def inception_v1_no_aux_classifier(class_num: int, has_dropout: bool = True) -> Graph:
    """GoogLeNet as it is used: (N, 3, 224, 224) -> log-probabilities (N, class_num). 7.0 million parameters for 1000
    classes.

    Source: BigDL's inception_v1_no_aux_classifier; Caffe's bvlc_googlenet.
    """
    return _inception_v1(class_num, has_dropout, ())


def inception_v1(class_num: int, has_dropout: bool = True) -> Graph:
    """GoogLeNet as it was trained: (N, 3, 224, 224) -> a table of log-probabilities (N, class_num): the main ones,
    those after inception_4d, those after inception_4a. 13.4 million parameters for 1000 classes.

    To train: `ParallelCriterion(True)` of three ClassNLLCriterion with the weights 1, 0.3 and 0.3.
    Source: BigDL's inception_v1, which joins the three to (N, 3 class_num); `JoinTable(1, 1)` does so.
    """
    return _inception_v1(class_num, has_dropout, (("4d", 2, 528), ("4a", 1, 512)))


def _inception_v1(class_num: int, has_dropout: bool, heads: tuple[tuple[str, int, int], ...]) -> Graph:
    builder, image = _Builder(False), Input()
    node = _max_pooled(builder.conv(image, "conv1/", ("7x7_s2", 64, 7, 2), 3), "pool1/3x3_s2")
    node = SpatialCrossMapLRN(5, 1e-4, 0.75).set_name("pool1/norm1")(node)
    node = builder.column(node, "conv2/", [("3x3_reduce", 64, 1, 1), ("3x3", 192, 3, 1)], 64)
    node = _max_pooled(SpatialCrossMapLRN(5, 1e-4, 0.75).set_name("conv2/norm2")(node), "pool2/3x3_s2")
    planes_in, ends = 192, {}
    for name, planes in V1.items():
        node, planes_in = _block_v1(builder, node, f"inception_{name}/", planes_in, planes)
        ends[name] = node
        if name in ("3b", "4e"):
            node = _max_pooled(node, f"pool{name[0]}/3x3_s2")
    pools = {1: "loss1/ave_pool", 2: "loss2/ave_pool"}
    others = [builder.auxiliary(ends[at], i, pools[i], planes, 4, class_num) for at, i, planes in heads]
    return Graph([image], [_end(node, has_dropout, class_num), *others])


def _block_v1(builder: _Builder, node: Node, prefix: str, planes_in: int, planes: tuple[int, ...]) -> tuple[Node, int]:
    single, reduce3, planes3, reduce5, planes5, projected = planes
    pool = SpatialMaxPooling(3, 3, 1, 1, 1, 1, to_ceil=True).set_name(f"{prefix}pool")
    columns = [
        builder.conv(node, prefix, ("1x1", single, 1, 1), planes_in),
        builder.column(node, prefix, [("3x3_reduce", reduce3, 1, 1), ("3x3", planes3, 3, 1)], planes_in),
        builder.column(node, prefix, [("5x5_reduce", reduce5, 1, 1), ("5x5", planes5, 5, 1)], planes_in),
        builder.conv(pool(node), prefix, ("pool_proj", projected, 1, 1), planes_in),
    ]
    return JoinTable(1, 3).set_name(f"{prefix}output")(columns), single + planes3 + planes5 + projected


# --- v2 ---------------------------------------------------------------------------------------------------------------

V2 = {
    "3a": (64, 64, 64, 64, 96, "avg", 32), "3b": (64, 64, 96, 64, 96, "avg", 64), "3c": (0, 128, 160, 64, 96, "max", 0),
    "4a": (224, 64, 96, 96, 128, "avg", 128), "4b": (192, 96, 128, 96, 128, "avg", 128),
    "4c": (160, 128, 160, 128, 160, "avg", 96), "4d": (96, 128, 192, 160, 192, "avg", 96),
    "4e": (0, 128, 192, 192, 256, "max", 0),
    "5a": (352, 192, 320, 160, 224, "avg", 128), "5b": (352, 192, 320, 192, 224, "max", 128),
}  # fmt: skip
"""block -> planes of 1x1, 3x3_reduce, 3x3, double3x3_reduce, double3x3; the pooling, and planes of pool_proj.

Without 1x1 the block halves the picture, and its pooling is not projected."""


def inception_v2_no_aux_classifier(class_num: int, has_dropout: bool = False) -> Graph:
    """BN-Inception: (N, 3, 224, 224) -> log-probabilities (N, class_num). 11.3 million parameters for 1000 classes.

    Source: BigDL's Inception_v2_NoAuxClassifier.
    """
    return _inception_v2(class_num, has_dropout, ())


def inception_v2(class_num: int, has_dropout: bool = False) -> Graph:
    """BN-Inception with the classifiers that help to train it: (N, 3, 224, 224) -> a table of log-probabilities (N,
    class_num):
    the main ones, those after inception_4e, those after inception_3c.

    Source: BigDL's Inception_v2, which joins the three to (N, 3 class_num); `JoinTable(1, 1)` does so.
    """
    return _inception_v2(class_num, has_dropout, (("4e", 2, "pool4/5x5_s3", 2), ("3c", 1, "pool3/5x5_s3", 4)))


def _inception_v2(class_num: int, has_dropout: bool, heads: tuple[tuple[str, int, str, int], ...]) -> Graph:
    builder, image = _Builder(True), Input()
    node = _max_pooled(builder.conv(image, "conv1/", ("7x7_s2", 64, 7, 2), 3), "pool1/3x3_s2")
    node = builder.column(node, "conv2/", [("3x3_reduce", 64, 1, 1), ("3x3", 192, 3, 1)], 64)
    node = _max_pooled(node, "pool2/3x3_s2")
    planes, ends = 192, {}
    for name, row in V2.items():
        node, planes = _block_v2(builder, node, f"inception_{name}/", planes, row)
        ends[name] = node, planes
    others = [builder.auxiliary(ends[at][0], i, pool, ends[at][1], side, class_num) for at, i, pool, side in heads]
    return Graph([image], [_end(node, has_dropout, class_num), *others])


def _block_v2(
    builder: _Builder, node: Node, prefix: str, planes_in: int, row: tuple[int, int, int, int, int, str, int]
) -> tuple[Node, int]:
    single, reduce3, planes3, reduce33, planes33, pooling, projected = row
    stride = 1 if single else 2
    double = [("double3x3_reduce", reduce33, 1, 1), ("double3x3a", planes33, 3, 1), ("double3x3b", planes33, 3, stride)]
    columns = [
        builder.column(node, prefix, [("3x3_reduce", reduce3, 1, 1), ("3x3", planes3, 3, stride)], planes_in),
        builder.column(node, prefix, double, planes_in),
    ]
    if not single:
        columns.append(_max_pooled(node, f"{prefix}pool"))
        return JoinTable(1, 3).set_name(f"{prefix}output")(columns), planes3 + planes33 + planes_in
    columns.insert(0, builder.conv(node, prefix, ("1x1", single, 1, 1), planes_in))
    columns.append(builder.conv(_pool_v2(prefix, pooling)(node), prefix, ("pool_proj", projected, 1, 1), planes_in))
    return JoinTable(1, 3).set_name(f"{prefix}output")(columns), single + planes3 + planes33 + projected


def _pool_v2(prefix: str, pooling: str) -> SpatialAveragePooling | SpatialMaxPooling:
    if pooling == "avg":
        return SpatialAveragePooling(3, 3, 1, 1, 1, 1, ceil_mode=True).set_name(f"{prefix}pool")
    return SpatialMaxPooling(3, 3, 1, 1, 1, 1, to_ceil=True).set_name(f"{prefix}pool")
