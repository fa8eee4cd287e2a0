"""Wide & Deep (Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlcore.nn.graph import Graph, Node
from dlcore.nn.init import RandomNormal, Zeros
from dlcore.nn.layer import CAdd, CAddTable, Input, JoinTable, Linear, LogSoftMax, LookupTable, ReLU, Select, Sum

MODEL_TYPES = ("wide_n_deep", "wide", "deep")


@dataclass(frozen=True)
class Columns:
    """What a row is described by.

    wide_dims: the number of values of each base and crossed column of the wide part. indicator_dims: those of each
    column that the deep part takes as zeros and ones. embed_in_dims, embed_out_dims: the number of values of each
    column that it takes as a learned vector, and the vector's length. continuous: how many columns are numbers.
    """

    wide_dims: tuple[int, ...] = ()
    indicator_dims: tuple[int, ...] = ()
    embed_in_dims: tuple[int, ...] = ()
    embed_out_dims: tuple[int, ...] = ()
    continuous: int = 0

    def __post_init__(self) -> None:
        if len(self.embed_in_dims) != len(self.embed_out_dims):
            raise ValueError(
                f"Columns: got {len(self.embed_in_dims)} embed_in_dims and {len(self.embed_out_dims)} embed_out_dims, "
                "expected as many"
            )

    @property
    def deep_size(self) -> int:
        """How many numbers the deep part takes."""
        return sum(self.indicator_dims) + sum(self.embed_out_dims) + self.continuous


def wide_and_deep(
    class_num: int, columns: Columns, model_type: str = "wide_n_deep", hidden_layers: Sequence[int] = (40, 20, 10)
) -> Graph:
    """A table of what the columns hold -> log-probabilities (N, class_num).

    The table has, in this order and leaving out what there is no column for: wide (N, columns), the place of each
    column's value among all `sum(wide_dims)` values, from 1, which stands for a sparse row of ones; indicators (N, sum
    of indicator_dims); numbers to be embedded (N, columns), from 1 in each column; continuous (N, columns). One entry
    is given as an array.
    Source: Analytics Zoo's WideAndDeep.

    Raises:
        ValueError: another model_type, or no column for it.
    """
    if model_type not in MODEL_TYPES:
        raise ValueError(f"wide_and_deep: got model_type {model_type!r}, expected one of {MODEL_TYPES}")
    has_wide, has_deep = model_type != "deep", model_type != "wide"
    if (has_wide and not columns.wide_dims) or (has_deep and not columns.deep_size):
        raise ValueError(f"wide_and_deep: got {columns}, expected columns for {model_type!r}")
    inputs: list[Node] = []
    parts = [_wide(inputs, class_num, columns)] if has_wide else []
    parts += [_deep(inputs, class_num, columns, hidden_layers)] if has_deep else []
    total = CAddTable().set_name("wide_n_deep")(parts) if len(parts) > 1 else parts[0]
    return Graph(inputs, [LogSoftMax()(total)])


def _new_input(inputs: list[Node], name: str) -> Node:
    inputs.append(Input(name))
    return inputs[-1]


def _wide(inputs: list[Node], class_num: int, columns: Columns) -> Node:
    """The sum of a weight for each value and class: a linear layer of a row of zeros and ones."""
    weights = LookupTable(sum(columns.wide_dims), class_num).set_name("wide_linear")
    weights.set_init_method(Zeros())
    total = Sum(2, size_average=True, squeeze=False).set_name("wide_sum")
    bias = CAdd([class_num]).set_name("wide_bias")
    bias.set_init_method(None, Zeros())
    return bias(total(weights(_new_input(inputs, "wide"))))


def _deep(inputs: list[Node], class_num: int, columns: Columns, hidden_layers: Sequence[int]) -> Node:
    parts = [_new_input(inputs, "indicator")] if columns.indicator_dims else []
    if columns.embed_in_dims:
        numbers = _new_input(inputs, "embed")
        for i, (count, size) in enumerate(zip(columns.embed_in_dims, columns.embed_out_dims, strict=True), start=1):
            table = LookupTable(count, size).set_name(f"embed{i}")
            table.set_init_method(RandomNormal(0.0, 0.1))
            parts.append(table(Select(2, i)(numbers)))
    parts += [_new_input(inputs, "continuous")] if columns.continuous else []
    node = JoinTable(1, 1).set_name("deep_input")(parts) if len(parts) > 1 else parts[0]
    width = columns.deep_size
    for i, size in enumerate(hidden_layers, start=1):
        node = ReLU(True).set_name(f"deep_relu{i}")(Linear(width, size).set_name(f"deep{i}")(node))
        width = size
    return Linear(width, class_num).set_name("deep_linear")(node)
