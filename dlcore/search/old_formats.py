"""Read versions of an index that were written before there were segments: one folder for all items.

Format 2 has `<array>.npy` and `<strings>.bin` with `<string>_ends.npy`; format 1 had keys, labels and groups as arrays
as wide as the longest of them. The items are held in memory like those of a new segment; `build_index` writes the new
format.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.search.byte_strings import ByteStrings
from dlcore.search.entries import Entries
from dlcore.search.manifest import META
from dlcore.search.store import Store

_STRINGS = {"keys": "key_ends", "labels": "label_ends", "groups": "group_ends"}
_ARRAYS = ("codes", "days", "crops", "thumbnail_ends")
Local = Callable[[str], Path]


def read(store: Store, version: str) -> tuple[Entries, str]:
    """The items of a version, and the model of its codes.

    Raises:
        ValueError: it has another format, or its files are damaged.
    """
    meta = json.loads(store.read(f"{version}/{META}"))
    if meta["format"] not in _READERS:
        raise ValueError(
            f"index {version} at {store.uri} has format {meta['format']}, expected {sorted(_READERS)}: run build_index"
        )

    def local(name: str) -> Path:
        return store.local(f"{version}/{name}")

    columns: dict[str, Any] = {name: _array(local, name) for name in _ARRAYS}
    columns |= _READERS[meta["format"]](local)
    return Entries(**columns, thumbnails=_map_bytes(local("thumbnails.bin"))), meta["model_version"]


def _array(local: Local, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(local(f"{name}.npy"), mmap_mode="r", allow_pickle=False)
    return array


def _mapped_strings(local: Local) -> dict[str, ByteStrings]:
    return {name: ByteStrings(_map_bytes(local(f"{name}.bin")), _array(local, ends)) for name, ends in _STRINGS.items()}


def _strings_of_fixed_width(local: Local) -> dict[str, ByteStrings]:
    return {name: ByteStrings.of(_array(local, name)) for name in _STRINGS}


_READERS = {1: _strings_of_fixed_width, 2: _mapped_strings}
"""How keys, labels and groups are read, by format."""


def _map_bytes(path: Path) -> NDArray[np.uint8]:
    """A file as a (T,) uint8 array mapped from the disk; an empty file cannot be mapped."""
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
