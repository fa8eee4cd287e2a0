"""Analytics Zoo's Net: models in files."""

from __future__ import annotations

import re
from typing import Any

from dlcore.interop.apart import load_apart
from dlcore.nn.graph import Graph, to_graph


class Net:
    """Loads models so that they can be cut and frozen: see `Graph.new_graph`, `Graph.freeze_up_to`, `to_keras`."""

    @staticmethod
    def load_bigdl(model_path: str, weight_path: str | None = None, bigdl_type: str = "float") -> Graph:
        """The model that `save` or `saveModel` wrote, as a graph of its layers. A path may begin with "file:", or
        "dfs:" or "dbfs:".

        Raises:
            ValueError: it begins with another scheme.
            FileNotFoundError, ModelFormatError: see `native.load_module`.
        """
        module = load_apart(_local(model_path), None if weight_path is None else _local(weight_path))
        return module if isinstance(module, Graph) else to_graph(module)

    load = load_bigdl


def _local(path: Any) -> str:
    scheme, found = re.fullmatch(r"(?:([a-z0-9]+):(?://(?=/))?)?(.*)", str(path)).groups()  # type: ignore[union-attr]
    if scheme not in (None, "file", "dfs", "dbfs"):
        raise ValueError(f"Net: got {path!r}, expected a path on this machine; copy the model from {scheme}: first")
    return str(found)
