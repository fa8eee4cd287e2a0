"""The position of an image's planes, 'th' (N, C, ...) or 'tf' (N, ..., C), and the treatment of its border."""

from __future__ import annotations

from typing import Any

from dlcore.keras.core import Shape, swaps, width
from dlcore.keras.named import activation_of, chain, start_weights
from dlcore.nn.layers.shape import Squeeze, Transpose, Unsqueeze
from dlcore.nn.layout import SAME
from dlcore.nn.module import Module

_BORDERS = {"valid": 0, "same": SAME}


def is_last(layer: Any) -> bool:
    """Whether the planes come last.

    Raises:
        ValueError: another `dim_ordering` than 'th' and 'tf'.
    """
    if layer.dim_ordering not in ("th", "tf"):
        raise ValueError(
            f"{layer.label()}: got dim_ordering {layer.dim_ordering!r}, expected 'th' (N, C, ...) or 'tf' (N, ..., C)"
        )
    return bool(layer.dim_ordering == "tf")


def planes(layer: Any, shape: Shape) -> int:
    """The number of planes of inputs of `shape`, without the batch."""
    return width(layer, shape, -1 if is_last(layer) else 0)


def spatial(layer: Any, shape: Shape) -> Shape:
    """The sizes of `shape` without that of the planes."""
    return shape[:-1] if is_last(layer) else shape[1:]


def first_spatial(layer: Any) -> int:
    """The first dimension of an image, 1-based, the batch counted."""
    return 2 if is_last(layer) else 3


def padding(layer: Any) -> int:
    """nn's number for the layer's `border_mode`.

    Raises:
        ValueError: another one than 'valid' and 'same'.
    """
    if layer.border_mode not in _BORDERS:
        raise ValueError(f"{layer.label()}: got border_mode {layer.border_mode!r}, expected 'valid' or 'same'")
    return _BORDERS[layer.border_mode]


def by_planes(layer: Any, module: Module, rank: int) -> Module:
    """`module`, which takes (N, C, ...) with `rank` dimensions behind, for the layer's `dim_ordering`; by views."""
    if not is_last(layer):
        return module
    order = (0, rank + 1, *range(1, rank + 1))
    back = (0, *range(2, rank + 2), 1)
    return chain(Transpose(swaps(order)), module, Transpose(swaps(back)))


def along_time(module: Module) -> Module:
    """`module`, which takes (N, C, T, 1), for (N, T, C); by views."""
    return chain(
        *(Transpose([(2, 3)]), Unsqueeze(4)),
        module,
        *(Squeeze(4), Transpose([(2, 3)])),
    )


def weighted_image(layer: Any, module: Any, shape: Shape, before: Module | None = None) -> Module:
    """`before`, then `module` with the weights that the Keras layer's arguments ask for, its `dim_ordering` and its
    activation."""
    placed = by_planes(layer, chain(before, start_weights(layer, module)), len(shape) - 1)
    return chain(placed, activation_of(layer.activation, len(shape)))


def weighted_sequence(layer: Any, module: Any) -> Module:
    """`module` on (N, C, T, 1) with the weights that the Keras layer's arguments ask for and its activation, for (N, T,
    C)."""
    return chain(along_time(start_weights(layer, module)), activation_of(layer.activation, 2))
