"""Where the tasks of a training leave arrays for one another: files in memory, which outlive a Python worker.

A block is one file of named arrays. It is written under a name of its own and renamed when it is whole, so that a task which is
run again writes the same once more, and a reader sees all of it or nothing. Blocks lie in /dev/shm, or in the executor's local
folder where that is too small; a run's folder is named by its token, which nobody guesses, and is closed to other users.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.errors import DlcoreError

MEMORY = Path("/dev/shm")
_ALIGNED = 64
_LENGTH = struct.Struct("<Q")
Layout = Mapping[str, tuple[tuple[int, ...], Any]]
"""Name -> shape and type."""


class BlockLostError(DlcoreError, LookupError):
    """A block is not where it was written: its node is gone, or its files were removed."""


@dataclass(frozen=True)
class Draft:
    """A block that is being written: its arrays, and where they will be."""

    arrays: dict[str, Array]
    path: Path
    draft: Path

    def publish(self) -> str:
        """Let readers see it; gives its path."""
        os.rename(self.draft, self.path)
        return str(self.path)

    def drop(self) -> None:
        """Nobody will see it."""
        self.draft.unlink()


@dataclass(frozen=True)
class SliceStore:
    """The blocks of one run on this node."""

    folder: Path

    @classmethod
    def of(cls, token: str, local: str, wanted_bytes: int) -> SliceStore:
        """The store of the run `token`; local: the executor's own folder; wanted_bytes: what the run may need at once."""
        room = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() else 0
        root = MEMORY if room > wanted_bytes or (MEMORY / _folder(token)).is_dir() else Path(local)
        folder = root / _folder(token)
        folder.mkdir(mode=0o700, exist_ok=True)
        return cls(folder)

    def draft(self, name: str, layout: Layout) -> Draft:
        """A block to fill; its memory is that of a freed one of the same size, whose content it still has, or zeros."""
        header, places, size = _header(layout)
        draft = self.folder / f"{name}.{os.getpid()}"
        with _opened(self._freed(size, draft), size) as file:
            area = mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        area[: len(header)] = header
        return Draft(_views(area, places), self.folder / name, draft)

    def write(self, name: str, arrays: Mapping[str, Array]) -> str:
        """A block of these arrays; gives its path."""
        draft = self.draft(name, {key: (array.shape, array.dtype) for key, array in arrays.items()})
        for key, array in arrays.items():
            draft.arrays[key][...] = array
        return draft.publish()

    def free(self, name: str) -> None:
        """Give up a block, if it is there; its memory serves the next one of its size."""
        path = self.folder / name
        try:
            os.rename(path, self.folder / f".free.{path.stat().st_size}.{os.getpid()}.{name}")
        except OSError:
            return

    def _freed(self, size: int, draft: Path) -> Path:
        for found in self.folder.glob(f".free.{size}.*"):
            try:
                os.rename(found, draft)
            except OSError:
                continue
            break
        return draft


def open_block(path: str, is_read_whole: bool = True) -> dict[str, Array]:
    """The arrays of a block, to read. is_read_whole: all of it will be; else pages are mapped as they are read.

    Raises:
        BlockLostError: it is not there.
    """
    try:
        with open(path, "rb") as file:
            flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if is_read_whole else 0)
            area = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
    except OSError as error:
        raise BlockLostError(f"got no block {path} ({error}), expected it on this node") from error
    (length,) = _LENGTH.unpack(area[: _LENGTH.size])
    places = json.loads(area[_LENGTH.size : _LENGTH.size + length])
    return _views(area, places)


def remove_store(token: str, local: str) -> None:
    """Remove all blocks of a run on this node."""
    for root in (MEMORY, Path(local)):
        shutil.rmtree(root / _folder(token), ignore_errors=True)


def _folder(token: str) -> str:
    return f"dlcore-{token}"


def _opened(path: Path, size: int) -> Any:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, size)
    return os.fdopen(descriptor, "r+b")


def _header(layout: Layout) -> tuple[bytes, dict[str, Any], int]:
    """The file's first bytes, each array's (offset, shape, type), and the file's size."""
    room = 256 + sum(len(name) + 16 * len(shape) + 64 for name, (shape, _) in layout.items())
    places, offset = {}, -(-room // _ALIGNED) * _ALIGNED
    for name, (shape, kind) in layout.items():
        places[name] = (offset, list(shape), np.dtype(kind).str)
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        offset += -(-size // _ALIGNED) * _ALIGNED
    text = json.dumps(places).encode()
    return _LENGTH.pack(len(text)) + text, places, max(offset, mmap.PAGESIZE)


def _views(area: mmap.mmap, places: Mapping[str, Any]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, (offset, shape, kind) in places.items():
        count = int(np.prod(shape, dtype=np.int64))
        found[name] = np.frombuffer(area, np.dtype(kind), count, offset).reshape(shape)
    return found
