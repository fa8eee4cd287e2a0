"""Where the tasks of a training leave arrays for one another: files in memory, which outlive a Python worker.

A block is one file of named arrays. It is written under a name of its own and renamed when it is whole, so that a task
which is run again writes the same once more, and a reader sees all of it or nothing. Blocks lie in /dev/shm, or in the
executor's local folder where that is too small, in a folder that is closed to other users. A block's address is where
its node serves it, if it does, and its path, apart by "|": on its node it is mapped, elsewhere fetched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcore.activity import Array
from dlcore.spark import keeper
from dlcore.spark.blocks import BlockLostError, Layout, Mappings, arrays_in, header_of, views

MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Draft:
    """A block that is being written: its arrays, and where they will be."""

    arrays: dict[str, Array]
    path: Path
    draft: Path
    endpoint: str

    def publish(self) -> str:
        """Let readers see it; gives its address."""
        os.rename(self.draft, self.path)
        return f"{self.endpoint}|{self.path}"

    def drop(self) -> None:
        """Nobody will see it."""
        self.draft.unlink(missing_ok=True)


@dataclass(frozen=True)
class Sharing:
    """How the tasks of a run share blocks. token: who shows it gets them; is_served: nodes serve theirs to others;
    is_apart: each executor counts as a node of its own."""

    token: str
    is_served: bool = False
    is_apart: bool = False


@dataclass(frozen=True)
class SliceStore:
    """The blocks of one run on this node, in `folder`, which it serves at `endpoint`, if it does."""

    folder: Path
    sharing: Sharing
    endpoint: str = ""
    mappings: Mappings = field(default_factory=Mappings, compare=False, repr=False)

    @classmethod
    def of(cls, sharing: Sharing, local: str, wanted_bytes: int) -> SliceStore:
        """The store of a run; local: the executor's own folder; wanted_bytes: what the run may need at once.

        Raises:
            PermissionError: another user has made its folder.
        """
        name = folder_of(sharing.token) + (f"-{keeper.executor()}" if sharing.is_apart else "")
        room = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() else 0
        root = MEMORY if room > wanted_bytes or (MEMORY / name).is_dir() else Path(local)
        folder = root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if (owner := folder.stat().st_uid) != os.getuid():
            raise PermissionError(
                f"{folder}: got a folder of user {owner}, expected one of user {os.getuid()}; remove it"
            )
        return cls(folder, sharing, keeper.kept(folder, sharing.token, sharing.is_served))

    def open(self, address: str, is_read_whole: bool = True) -> dict[str, Array]:
        """The arrays of a block, to read; is_read_whole: see `open_block`.

        Raises:
            BlockLostError: it is not there.
        """
        endpoint, _, path = address.partition("|")
        if not self._is_foreign(address):
            try:
                return open_block(address, is_read_whole, self.mappings)
            except BlockLostError:
                if not endpoint:
                    raise
        return fetched(endpoint, path, self.sharing.token)

    def stretch(self, address: str, name: str, low: int, high: int) -> Array:
        """Elements [low, high) of a flat array of a block; no more is fetched.

        Raises:
            BlockLostError: it is not there.
        """
        endpoint, _, path = address.partition("|")
        if not self._is_foreign(address):
            try:
                return open_block(address, False, self.mappings)[name][low:high]
            except BlockLostError:
                if not endpoint:
                    raise
        found: Array = keeper.fetched(endpoint, Path(path).name, self.sharing.token, (name, low, high))
        return found

    def _is_foreign(self, address: str) -> bool:
        return self.sharing.is_apart and Path(address.rpartition("|")[2]).parent != self.folder

    def draft(self, name: str, layout: Layout) -> Draft:
        """A block to fill; its memory is that of a freed one of the same size, whose content it still has, or zeros.

        Raises:
            OSError: there is no room for it.
        """
        header, places, size = header_of(layout)
        draft = self.folder / f"{name}.{os.getpid()}"
        with _opened(self._freed(size, draft), size) as file:
            area = self.mappings.of(file, is_written=True)
        area[: len(header)] = header
        return Draft(views(area, places), self.folder / name, draft, self.endpoint)

    def write(self, name: str, arrays: Mapping[str, Array]) -> str:
        """A block of these arrays; gives its address."""
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

    def free_until(self, iteration: int) -> None:
        """Give up the blocks `kind.iteration.partition` of this step and of those before it, and what their unfinished
        tasks have left."""
        for path in list(self.folder.iterdir()):
            kind, *numbers = path.name.split(".")
            if not kind or len(numbers) not in (2, 3) or int(numbers[0]) > iteration:
                continue
            if len(numbers) == 2:
                self.free(path.name)
            else:  # a task that is given up may still write to it: nobody else may
                path.unlink(missing_ok=True)

    def _freed(self, size: int, draft: Path) -> Path:
        for found in self.folder.glob(f".free.{size}.*"):
            try:
                os.rename(found, draft)
            except OSError:
                continue
            break
        return draft


def has_block(address: str) -> bool:
    """Whether a block is on this node."""
    return Path(address.rpartition("|")[2]).exists()


def open_block(address: str, is_read_whole: bool = True, mappings: Mappings | None = None) -> dict[str, Array]:
    """The arrays of a block of this node, to read. is_read_whole: all of it will be; else pages are mapped as they are
    read. mappings: those of a process that opens blocks step by step.

    Raises:
        BlockLostError: it is not there.
    """
    path = address.rpartition("|")[2]
    try:
        with open(path, "rb") as file:
            area = (mappings or Mappings()).of(file, is_whole=is_read_whole)
    except OSError as error:
        raise BlockLostError(f"got no block {path} ({error}), expected it on this node") from error
    return arrays_in(area)


def fetched(endpoint: str, path: str, token: str) -> dict[str, Array]:
    """The arrays of a block of another node.

    Raises:
        BlockLostError: the node, or the block, is not there.
    """
    return arrays_in(keeper.fetched(endpoint, Path(path).name, token))


def remove_store(token: str, local: str) -> None:
    """Remove all blocks of a run on this node."""
    for root in (MEMORY, Path(local)):
        for folder in root.glob(f"{folder_of(token)}*"):
            shutil.rmtree(folder, ignore_errors=True)


def folder_of(token: str) -> str:
    """Its name says nothing of the token, since all users see it."""
    return f"dlcore-{hashlib.sha256(token.encode()).hexdigest()[:24]}"


def _opened(path: Path, size: int) -> Any:
    """A file with room for `size` bytes: without the room a task would be killed where it writes."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        found = os.fstat(descriptor)
        if found.st_size != size or found.st_blocks * 512 < size:
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        os.close(descriptor)
        path.unlink()
        raise OSError(
            error.errno,
            f"{path}: got no room for {size} bytes ({error.strerror}); give the node a larger {path.parents[1]}",
        ) from error
    return os.fdopen(descriptor, "r+b")
