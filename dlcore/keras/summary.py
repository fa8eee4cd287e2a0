"""A Keras model as a table of text."""

from __future__ import annotations

from typing import Any

from dlcore.nn.graph import Graph
from dlcore.nn.shapes import output_shapes
from dlcore.nn.summary import aligned


def layer_table(model: Any) -> str:
    """A row per layer: name (type), output shape, number of parameters, the layers whose outputs it takes; below,
    sums."""
    labels = _labels(model)
    shapes = output_shapes(model, model.get_input_shape()) if model.modules else {}
    sources = _sources(model)
    rows = [("Layer (type)", "Output Shape", "Connected to", "Param #")]
    counted: set[int] = set()
    for position, (path, layer) in enumerate(model.held()):
        fresh = {id(each): each.value.size for each in layer.named_parameters().values() if id(each) not in counted}
        counted |= fresh.keys()
        before = ", ".join(labels[source] for source in sources[position])
        name = f"{labels[position]} ({type(layer).__name__})"
        rows.append((name, str(shapes.get(path, "")), before, f"{sum(fresh.values()):,}"))
    sizes = [(each.value.size, each.frozen) for each in model.named_parameters().values()]
    total, frozen = sum(size for size, _ in sizes), sum(size for size, is_frozen in sizes if is_frozen)
    ends = [("Total params", total), ("Trainable params", total - frozen), ("Non-trainable params", frozen)]
    return aligned([*rows, *((name, "", "", f"{count:,}") for name, count in ends)])


def _labels(model: Any) -> list[str]:
    """The set name of each layer, else its type in small letters with a number, such as dense_2."""
    seen: dict[str, int] = {}
    found = []
    for layer in model.modules:
        kind = type(layer).__name__.lower()
        seen[kind] = seen.get(kind, 0) + 1
        found.append(layer._name or f"{kind}_{seen[kind]}")
    return found


def _sources(model: Any) -> list[list[int]]:
    """For each layer, the positions of those whose outputs it takes."""
    if isinstance(model, Graph):
        position = {id(node): place for place, node in enumerate(model.nodes)}
        return [[position[id(previous)] for previous in node.previous] for node in model.nodes]
    return [[place - 1] if place else [] for place in range(len(model.modules))]
