"""Distinct pictures in blocks: files that Spark tasks write and others map, so that a task of the comparison holds no pictures.

A block is an Arrow file of one record batch, its columns byte strings of one length each: mapped, they are arrays (N, bytes)
as they lie. From a file system that is not local a block is copied once to a machine, where it goes with the folder of its run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dlcore.search.codes import Codes, Indices
from dlcore.search.store import Store
from dlcore.search.verification import Signatures
from dlcore.settings import settings
from spark_jobs.stages.signature_rows import SIGNATURES

PICTURE = "picture"
_FOLDER = ".pictures-"
_CACHED_S = 2 * 24 * 3600
_UNDER_WAY_S = 7 * 24 * 3600
"""A comparison of a whole catalogue may take days, in which its blocks do not change."""
_OPEN = 64


@dataclass(frozen=True)
class Block:
    """A file of pictures: its name in the folder of its run, how many there are, and whether they are new to the comparison."""

    name: str
    rows: int
    is_new: bool


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures: names (N,) as byte strings, and their signatures."""

    names: NDArray[np.bytes_]
    signatures: Signatures

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[np.integer]) -> Pictures:
        """The pictures of these rows."""
        return Pictures(self.names[rows], self.signatures.take(rows))


@dataclass(frozen=True)
class Bundle:
    """The pictures of several blocks as one set: their codes and whole images' hashes in memory, all else where the blocks have it."""

    parts: Sequence[Pictures]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @cached_property
    def codes(self) -> Codes:
        """(N, B)."""
        return np.concatenate([part.signatures.codes for part in self.parts])

    @cached_property
    def wholes(self) -> Codes:
        """(N, 32)."""
        return np.concatenate([part.signatures.wholes for part in self.parts])

    def take(self, rows: Indices) -> Pictures:
        """The pictures of these rows."""
        starts = np.cumsum([0, *map(len, self.parts)])
        number = np.searchsorted(starts, rows, "right") - 1
        sources = [(part.names, *part.signatures.arrays()) for part in self.parts]
        taken = [
            np.empty((len(rows), *given[0].shape[1:]), np.result_type(*given)) for given in zip(*sources, strict=True)
        ]
        for n, arrays in enumerate(sources):
            here = np.flatnonzero(number == n)
            for array, target in zip(arrays, taken, strict=True):
                target[here] = array[rows[here] - starts[n]]
        return Pictures(taken[0], Signatures(*taken[1:]))


def write_block(folder: str, rows: pa.Table, is_new: bool) -> Block:
    """Write pictures (`picture` and the signatures, each of one length) to a new file of the folder at a URI."""
    files, root = fsspec.core.url_to_fs(folder)
    files.makedirs(root, exist_ok=True)
    block = Block(f"{uuid4().hex}.arrow", len(rows), is_new)
    columns = {name: _of_one_length(rows.column(name)) for name in (PICTURE, *SIGNATURES)}
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    with files.open(f"{root}/{block.name}", "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    return block


def _of_one_length(column: pa.ChunkedArray) -> pa.Array:
    values = pa.concat_arrays(column.cast(pa.binary()).chunks)
    return values.cast(pa.binary(len(values[0].as_py())))


@lru_cache(_OPEN)
def open_block(folder: str, name: str) -> Pictures:
    """The pictures of a block, mapped from the disk."""
    table = pa.ipc.open_file(pa.memory_map(str(_local_file(folder, name)))).read_all()
    names = _mapped(table, PICTURE, np.uint8)
    arrays = [_mapped(table, column, np.dtype(kind)) for column, kind in SIGNATURES.items()]
    return Pictures(names.view(f"S{names.shape[1]}")[:, 0], Signatures(*arrays))


def _mapped(table: pa.Table, name: str, dtype: Any) -> NDArray[Any]:
    """A column as an array (N, length): the bytes of the file themselves."""
    (chunk,) = table.column(name).chunks
    values = np.frombuffer(chunk.buffers()[1], np.uint8)[: len(chunk) * chunk.type.byte_width]
    return values.reshape(len(chunk), chunk.type.byte_width).view(dtype)


def _local_file(folder: str, name: str) -> Path:
    files, root = fsspec.core.url_to_fs(folder)
    if "file" in np.atleast_1d(files.protocol):
        return Path(root) / name
    cache = settings().cache / "pictures" / root.rsplit("/", 1)[-1]
    target: Path = cache / name
    if not target.exists():
        _drop_left_behind(cache.parent)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as staging:
            pass
        files.get_file(f"{root}/{name}", staging.name)
        Path(staging.name).replace(target)
    return target


def _drop_left_behind(cache: Path) -> None:
    """Remove the folders of runs that are long over. Who has a file mapped keeps its pages."""
    for entry in cache.iterdir() if cache.exists() else ():
        with suppress(OSError):  # another process does the same
            if time.time() - entry.stat().st_mtime > _CACHED_S:
                shutil.rmtree(entry)


def folder_of_run(index: str) -> str:
    """A new folder of blocks beside an index, where all machines reach it; its URI."""
    return f"{index.rstrip('/')}/{_FOLDER}{uuid4().hex}"


def remove_left_behind(index: str) -> list[str]:
    """Remove the folders that killed runs have left beside an index -> their names."""
    store = Store(index)
    left = [name for name in store.names() if name.startswith(_FOLDER) and store.is_older(name, _UNDER_WAY_S)]
    for name in left:
        store.remove(name)
    return left


def remove_blocks(folder: str) -> None:
    """Remove the folder of a run, if it is there."""
    files, root = fsspec.core.url_to_fs(folder)
    with suppress(FileNotFoundError):
        files.rm(root, recursive=True)
