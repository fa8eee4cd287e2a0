"""DeepBit on two views of a picture: one code whose first bits are of the crop, by a network of its own, and whose last
bits are of the whole picture, by a linear layer on the pooled features of a published network.

A copy is seldom cropped as its original is, so the whole picture steadies the code; the published network knows what
things are and little of their colours, which the crop's network tells.
"""

from __future__ import annotations

from dlcore.models.efficientnet_lite import HEAD
from dlcore.nn.container import Sequential
from dlcore.nn.graph import Graph
from dlcore.nn.init import Xavier
from dlcore.nn.layer import BatchNormalization, Input, JoinTable, Linear, Normalize, SelectTable, Tanh, View
from dlcore.nn.module import Module

BACKBONE = "backbone"
"""Name of the published network in a joint one, and so the prefix of its weights."""
_POOL = "_avg_pooling"


def code_head(planes: int = HEAD, bits: int = 128) -> Graph:
    """The code layer of pooled features: (N, planes) -> [codes (N, bits) in (-1, 1), the features (N, planes)].

    A linear layer, batch normalisation without scale (it balances every bit over a batch) and tanh, as in
    `deepbit_small`.
    """
    features = Input()
    layer = Linear(planes, bits, with_bias=False).set_name("code").set_init_method(Xavier())
    code = Sequential().add(layer).add(BatchNormalization(bits, affine=False).set_name("code_bn")).add(Tanh())
    return Graph([features], [code.set_name("code_head")(features), features])


def pooled_features(classifier: Graph) -> Graph:
    """What EfficientNet-Lite sums up of a picture, before it classifies: (N, 3, size, size) -> (N, 1280, 1, 1)."""
    return classifier.new_graph([_POOL])


def deepbit_joint(crop: Module, backbone: Module, head: Module, planes: int = HEAD) -> Graph:
    """[crop (N, 3, S, S), whole (N, 3, T, T)] -> [codes (N, bits of both), features (N, D + planes)].

    crop: pictures -> [codes, descriptor (N, D)].   backbone: whole pictures -> (N, planes, 1, 1).   head: features ->
    [codes, features]. The two parts of the features have length 1 each.
    """
    image, whole = Input(), Input()
    of_crop = crop.set_name("crop")(image)
    of_whole = head.set_name("head")(View([planes], 3).set_name("pooled")(backbone.set_name(BACKBONE)(whole)))
    both = [of_crop, of_whole]
    codes = JoinTable(1, 1).set_name("codes")([SelectTable(1)(part) for part in both])
    features = [Normalize(2.0)(SelectTable(2)(part)) for part in both]
    return Graph([image, whole], [codes, JoinTable(1, 1).set_name("features")(features)])
