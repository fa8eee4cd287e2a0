"""The form of a block: a header that says where each array lies, and the arrays, one after the other.

The header is its length, 8 bytes, and a JSON object: array -> [offset, shape, type].
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.errors import DlcoreError

_ALIGNED = 64
_LENGTH = struct.Struct("<Q")
Layout = Mapping[str, tuple[tuple[int, ...], Any]]
"""Name -> shape and type."""


class BlockLostError(DlcoreError, LookupError):
    """A block is not where it was written: its node is gone, or its files were removed."""


def header_of(layout: Layout) -> tuple[bytes, dict[str, Any], int]:
    """The file's first bytes, each array's (offset, shape, type), and the file's size."""
    room = 256 + sum(len(name) + 16 * len(shape) + 64 for name, (shape, _) in layout.items())
    places, offset = {}, -(-room // _ALIGNED) * _ALIGNED
    for name, (shape, kind) in layout.items():
        places[name] = (offset, list(shape), np.dtype(kind).str)
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        offset += -(-size // _ALIGNED) * _ALIGNED
    text = json.dumps(places).encode()
    return _LENGTH.pack(len(text)) + text, places, max(offset, mmap.PAGESIZE)


def arrays_in(content: Any) -> dict[str, Array]:
    """The arrays of a block's bytes, as views."""
    (length,) = _LENGTH.unpack(content[: _LENGTH.size])
    return views(content, json.loads(bytes(content[_LENGTH.size : _LENGTH.size + length])))


def views(area: Any, places: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays at these places of a block's bytes."""
    found: dict[str, Array] = {}
    for name, (offset, shape, kind) in places.items():
        count = int(np.prod(shape, dtype=np.int64))
        found[name] = np.frombuffer(area, np.dtype(kind), count, offset).reshape(shape)
    return found
