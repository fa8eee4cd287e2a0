"""Copies of arrays into the memory orders that oneDNN's primitives like best."""

from __future__ import annotations

from dlcore.activity import Array
from dlcore.kernels.memory import empty
from dlcore.kernels.onednn_api import DST, SRC, Description, Layout, Primitive, address, engine


class Reorder:
    """Copies an array into another memory order, unless both are the same."""

    def __init__(self, source: Layout, target: Layout) -> None:
        self.floats = target.size_bytes // 4
        self._primitive: Primitive | None = None
        if source != target:
            description = Description("reorder", source, engine(), target, engine(), None)
            self._primitive = Primitive(description, {SRC: source, DST: target})

    def __call__(self, x: Array) -> Array:
        """The content of `x` as a flat array in the target's order, or `x`."""
        if self._primitive is None:
            return x
        y = empty((self.floats,))
        self._primitive(address(x), address(y))
        return y
