"""Neural collaborative filtering (He et al. 2017): NeuMF, matrix factorisation and a perceptron side by side."""

from __future__ import annotations

from collections.abc import Sequence

from dlcore.nn.graph import Graph, Node
from dlcore.nn.init import RandomNormal
from dlcore.nn.layer import CMulTable, Input, JoinTable, Linear, LogSoftMax, LookupTable, ReLU, Select


def neural_cf(
    user_count: int,
    item_count: int,
    class_num: int,
    user_embed: int = 20,
    item_embed: int = 20,
    hidden_layers: Sequence[int] = (40, 20, 10),
    include_mf: bool = True,
    mf_embed: int = 20,
) -> Graph:
    """Pairs (N, 2) of a user's and an item's number, from 1, -> log-probabilities (N, class_num) of the ratings.

    user_embed, item_embed: lengths of the vectors that the perceptron of `hidden_layers` takes; mf_embed: of those that
    are multiplied, unless `include_mf` is False.
    Source: Analytics Zoo's NeuralCF.
    """
    pair = Input()
    user, item = Select(2, 1).set_name("user")(pair), Select(2, 2).set_name("item")(pair)
    both = [_looked_up(user, "mlp_user", user_count, user_embed), _looked_up(item, "mlp_item", item_count, item_embed)]
    node, width = JoinTable(1, 1).set_name("mlp_input")(both), user_embed + item_embed
    for i, size in enumerate(hidden_layers, start=1):
        node = ReLU(True).set_name(f"mlp_relu{i}")(Linear(width, size).set_name(f"mlp{i}")(node))
        width = size
    if include_mf:
        both = [_looked_up(user, "mf_user", user_count, mf_embed), _looked_up(item, "mf_item", item_count, mf_embed)]
        node = JoinTable(1, 1).set_name("neumf")([CMulTable().set_name("mf")(both), node])
        width += mf_embed
    return Graph([pair], [LogSoftMax()(Linear(width, class_num).set_name("score")(node))])


def _looked_up(number: Node, name: str, count: int, size: int) -> Node:
    table = LookupTable(count, size).set_name(name)
    table.set_init_method(RandomNormal(0.0, 0.01 if name.startswith("mlp") else 0.1))
    return table(number)
