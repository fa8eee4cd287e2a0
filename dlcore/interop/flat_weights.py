"""Weights as one flat float32 file beside its index: what processes map read-only and so share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array

FLAT, INDEX = "weights.f32", "weights.json"
_ALIGNMENT = 16  # floats: every array begins at a cache line


def write_flat(weights: Mapping[str, np.ndarray[Any, Any]], folder: Path) -> None:
    """All arrays as float32 one after the other, and where each begins."""
    index, offset = {}, 0
    with (folder / FLAT).open("wb") as file:
        for name, value in weights.items():
            index[name] = {"offset": offset, "shape": value.shape}
            padding = -value.size % _ALIGNMENT
            file.write(np.ascontiguousarray(value, np.float32).tobytes() + bytes(4 * padding))
            offset += value.size + padding
    (folder / INDEX).write_text(json.dumps(index), "utf-8")


def mapped_flat(folder: Path) -> dict[str, Array]:
    """The arrays that `write_flat` wrote, as read-only views of one memory-mapped file."""
    index = json.loads((folder / INDEX).read_text("utf-8"))
    flat = np.memmap(folder / FLAT, np.float32, "r") if (folder / FLAT).stat().st_size else np.zeros(0, np.float32)
    found = {}
    for name, place in index.items():
        size = int(np.prod(place["shape"], dtype=np.int64))
        found[name] = np.asarray(flat[place["offset"] : place["offset"] + size]).reshape(place["shape"])
    return found
