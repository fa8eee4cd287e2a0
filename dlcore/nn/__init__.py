"""Layers, criterions, initialisation methods and the graphs that connect them: `from dlcore.nn import *`."""

from __future__ import annotations

from dlcore.surface import offered

__getattr__, __dir__ = offered(
    __name__, ("dlcore.nn.layer", "dlcore.nn.criterion", "dlcore.nn.init", "dlcore.nn.regularizer")
)
