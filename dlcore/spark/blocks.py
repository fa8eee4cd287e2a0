"""The form of a block: a header that says where each array lies, and the arrays, one after the other.

The header is its length, 8 bytes, and a JSON object: array -> [offset, shape, type].
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.errors import DlcoreError

_ALIGNED = 64
_LENGTH = struct.Struct("<Q")
_KEPT = 64
"""Files that a process keeps mapped: the latest."""
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


class Mappings:
    """Files in memory. A step's blocks lie in the memory of earlier ones, so a file that is still mapped costs no page
    faults. A file that was removed would keep its memory as long as it is mapped, so those are let go."""

    def __init__(self) -> None:
        self._areas: OrderedDict[tuple[int, int, int, bool], tuple[mmap.mmap, int]] = OrderedDict()
        """With a descriptor of each file, that is open as long as the area is."""

    def of(self, file: Any, is_written: bool = False, is_whole: bool = True) -> mmap.mmap:
        """A file, to be read, or to be written too. is_whole: all of it will be; else pages are mapped as they are."""
        found = os.fstat(file.fileno())
        place = found.st_dev, found.st_ino, found.st_size, is_written  # no other file's as long as it is mapped
        if place not in self._areas:
            self._forget_removed()
            flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if is_whole else 0)
            prot = mmap.PROT_READ | (mmap.PROT_WRITE if is_written else 0)
            area = mmap.mmap(file.fileno(), 0, flags=flags, prot=prot)
            descriptor = os.dup(file.fileno())
            weakref.finalize(area, os.close, descriptor)
            self._areas[place] = area, descriptor
        self._areas.move_to_end(place)
        while len(self._areas) > _KEPT:
            self._areas.popitem(last=False)
        return self._areas[place][0]

    def _forget_removed(self) -> None:
        for place, (_, descriptor) in list(self._areas.items()):
            if not os.fstat(descriptor).st_nlink:
                del self._areas[place]
