"""Several inputs made one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlcore.keras.construction import KerasLayer, KerasNode, connect, keras_layer, unbatched
from dlcore.keras.named import chain, one_of
from dlcore.nn.container import ParallelTable
from dlcore.nn.layers.product import CosineDistance, DotProduct
from dlcore.nn.layers.shape import Unsqueeze
from dlcore.nn.layers.table import CAddTable, CAveTable, CMaxTable, CMulTable, JoinTable
from dlcore.nn.module import Module

__all__ = ["Merge", "merge"]

MODES: dict[str, Callable[[], Module]] = {
    "ave": CAveTable,
    "cos": lambda: chain(CosineDistance(), Unsqueeze(2), Unsqueeze(3)),
    "dot": lambda: chain(DotProduct(), Unsqueeze(2)),
    "max": CMaxTable,
    "mul": CMulTable,
    "sum": CAddTable,
}
"""The computation of each mode except "concat"."""


def joining(mode: str, axis: int = -1) -> Module:
    """What makes a table one array: a mode of `MODES`, or "concat" along `axis`, the batch being 0.

    Raises:
        ValueError: another mode.
    """
    return one_of(MODES | {"concat": lambda: JoinTable(axis + 1 if axis >= 0 else axis, 0)}, mode, "mode")()


@keras_layer
class Merge(KerasLayer):
    """One array of several: their "sum", product ("mul"), mean ("ave"), maximum ("max"), all of one shape; "concat"
    along `concat_axis`, the batch being 0; inner product ("dot") or cosine ("cos") of the rows of two.

    x: [(N, ...), ...] -> (N, ...); [(N, F), (N, F)] -> (N, 1) for "dot", (N, 1, 1) for "cos".
    layers: the layers or models, each of which takes one entry of the input and gives what is merged; without them the
    input is.
    Source: BigDL's and Keras's Merge.

    Raises:
        ValueError: another mode, fewer than two inputs, or a layer that does not know its input's shape.
    """

    layers: Any = None
    mode: str = "sum"
    concat_axis: int = -1

    def declared_shape(self) -> Any:
        return [unbatched(layer.get_input_shape()) for layer in self.layers] if self.layers else None

    def compose(self, shape: Any) -> Module:
        if not isinstance(shape, list) or len(shape) < 2:
            raise ValueError(f"{self.label()}: got input shape {shape}, expected a list of two or more")
        merged = joining(self.mode, self.concat_axis)
        if not self.layers:
            return merged
        each = ParallelTable()
        for layer in self.layers:
            each.add(layer)
        return chain(each, merged)


def merge(inputs: list[Any], mode: str = "sum", concat_axis: int = -1, name: str | None = None) -> KerasNode:
    """A node that merges the outputs of `inputs`; see Merge. Source: BigDL's and Keras's merge."""
    layer = Merge(mode=mode, concat_axis=concat_axis)
    return connect(layer if name is None else layer.set_name(name), inputs)
