"""A model as a table of text: what `print(model)` shows."""

from __future__ import annotations

from collections.abc import Sequence

from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.shapes import ActivityShape, ShapeError, output_shapes, shape_of


def summary(module: Module, input_shape: ActivityShape | None = None) -> str:
    """A row per module inside: its path, type, output shape and number of parameters; below, their sum.

    input_shape: None as the size of the batch stands for any; without it, shapes are those of the latest forward pass,
    if there was one.

    Raises:
        ShapeError: the model cannot take such an input.

    Example:
        >>> from dlcore.nn.layer import Linear, Sequential, Tanh
        >>> print(summary(Sequential().add(Linear(4, 3).set_name("hidden")).add(Tanh()), (None, 4)))
        layer   type        output     parameters
                Sequential  (None, 3)
        hidden  Linear      (None, 3)          15
        1       Tanh        (None, 3)
        total                                  15
    """
    shapes = _latest_shapes(module) if input_shape is None else output_shapes(module, input_shape)
    rows = [("layer", "type", "output", "parameters")]
    for path, part in module.named_modules():
        own = (value.value.size for value in vars(part).values() if isinstance(value, Parameter))
        rows.append((path, part.type_name(), str(shapes.get(path, "")), _number(sum(own))))
    every = module.named_parameters().values()
    rows.append(("total", "", "", _number(sum(parameter.value.size for parameter in every))))
    frozen = sum(parameter.value.size for parameter in every if parameter.frozen)
    if frozen:
        rows.append(("frozen", "", "", _number(frozen)))
    return aligned(rows)


def _latest_shapes(module: Module) -> dict[str, ActivityShape]:
    """The shapes in the latest forward pass; none if there was none, or if a layer inside refuses the ones that stand
    for its values."""
    if module._input is None:
        return {}
    try:
        return output_shapes(module, shape_of(module._input))
    except ShapeError:
        return {}


def _number(count: int) -> str:
    return f"{count:,}" if count else ""


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of text as lines: columns under one another, the last to the right."""
    *widths, last = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = []
    for *cells, number in rows:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([*padded, number.rjust(last)]).rstrip())
    return "\n".join(lines)
