"""Distinct pictures of a day in blocks: files that Spark tasks write and other tasks map, so that a comparing task
holds no pictures in its own memory.

A block is an Arrow file of one record batch, in order of the pictures' names. Each kind of signature has byte strings
of one length, so that mapped they are arrays (N, bytes). Beside them are the keys and crops of all rows that show the
picture. A block never changes. If the file system is not local, each machine copies it once.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dlcore.search.codes import Codes, Indices
from dlcore.search.store import Store
from dlcore.search.verification import Signatures
from spark_jobs.stages.signature_rows import SIGNATURES

logger = logging.getLogger(__name__)

PICTURE = "picture"
KEPT = "pictures"
"""The folder, below an index, of the blocks that later runs map again."""
OF_RUN = ".pictures-"
"""Prefix of the folder of blocks that only one run needs."""
BLOCK_ROW = "day date, name string, rows bigint, is_new boolean"
"""Rows of `Block`, for Spark."""
BLOCKS = pa.schema([("day", pa.date32()), ("name", pa.string()), ("rows", pa.int64()), ("is_new", pa.bool_())])
PLACES = pa.schema(
    [
        (PICTURE, pa.string()),
        ("day", pa.date32()),
        ("key", pa.string()),
        ("crop", pa.int32()),
        ("copies", pa.int64()),
        ("block", pa.int32()),
        ("row", pa.int32()),
    ]
)
"""Rows of `place_batches`: a picture, its first row on a day, how many rows that day has, the number of its block and
its row there."""
PLACE_ROW = "picture string, day date, key string, crop int, copies bigint, block int, row int"
ROW_BITS = 32
"""Bits for the row in a number that stands for a block and a row."""
_OPEN = 256
_WORD = 8  # letters of a name that are looked up as a number
_LISTED = ("keys", "crops")


@dataclass(frozen=True)
class Block:
    """A file of pictures of a day: its name below the index, the number of pictures, and whether they are new to the
    comparison."""

    day: Any
    name: str
    rows: int
    is_new: bool = True


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures: names (N,) as byte strings, their signatures, and (in a block) the `keys` and `crops` of each
    one's rows."""

    names: NDArray[np.bytes_]
    signatures: Signatures
    places: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[np.integer]) -> Pictures:
        """The pictures of these rows, without their places."""
        return Pictures(self.names[rows], self.signatures.take(rows))


@dataclass(frozen=True)
class Bundle:
    """The pictures of several blocks as one set. Their codes and whole images' hashes are in memory, all else stays in
    the blocks."""

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

    def take(self, rows: Indices, has_colours: bool = True) -> Pictures:
        """The pictures of these rows. has_colours: False leaves out the grids of colours, a third of what is copied."""
        starts = np.cumsum([0, *map(len, self.parts)])
        number = np.searchsorted(starts, rows, "right") - 1
        cells = slice(None) if has_colours else slice(0)
        sources = [
            (part.names, *part.signatures.arrays()[:-1], part.signatures.chroma[:, cells]) for part in self.parts
        ]
        taken = [
            np.empty((len(rows), *given[0].shape[1:]), np.result_type(*given)) for given in zip(*sources, strict=True)
        ]
        for n, arrays in enumerate(sources):
            here = np.flatnonzero(number == n)
            for array, target in zip(arrays, taken, strict=True):
                target[here] = array[rows[here] - starts[n]]
        return Pictures(taken[0], Signatures(*taken[1:]))


def write_block(
    index: str, folder: str, day: Any, rows: pa.Table, lists: dict[str, pa.Array], is_new: bool = True
) -> Block:
    """Write pictures (`picture` and the signatures, each of one length, and lists `keys` and `crops`) to a new file of
    a folder."""
    block = Block(day, f"{folder}/{uuid4().hex}.arrow", len(rows), is_new)
    columns = {name: _of_one_length(rows.column(name)) for name in (PICTURE, *SIGNATURES)} | lists
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    Store(index).write(block.name, memoryview(sink.getvalue()))
    return block


def _of_one_length(column: pa.ChunkedArray) -> pa.Array:
    values = pa.concat_arrays(column.cast(pa.binary()).chunks)
    return values.cast(pa.binary(len(values[0].as_py())))


def _row_of(block: Block) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([asdict(block)], schema=BLOCKS)


@lru_cache(_OPEN)
def open_block(index: str, name: str) -> Pictures:
    """The pictures of a block, mapped from the disk.

    Raises:
        ValueError: the file is gone or damaged.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(Store(index).local(name)))).read_all()
        names = _mapped(table, PICTURE, np.uint8)
        arrays = [_mapped(table, column, np.dtype(kind)) for column, kind in SIGNATURES.items()]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{index}/{name}: got no block of pictures ({error}), expected one; remove the file and run "
            f"similar_images again, "
            "which writes the blocks of its day anew"
        ) from error
    return Pictures(names.view(f"S{names.shape[1]}")[:, 0], Signatures(*arrays), table.select(list(_LISTED)))


def _mapped(table: pa.Table, name: str, dtype: Any) -> NDArray[Any]:
    """A column as an array (N, length) over the bytes of the file."""
    (chunk,) = table.column(name).chunks
    values = np.frombuffer(chunk.buffers()[1], np.uint8)[: len(chunk) * chunk.type.byte_width]
    return values.reshape(len(chunk), chunk.type.byte_width).view(dtype)


def place_batches(batches: Iterable[pa.RecordBatch], index: str, blocks: Sequence[Block]) -> Iterator[pa.RecordBatch]:
    """Numbers of blocks (`id`) -> rows of PLACES for all pictures in them."""
    for batch in batches:
        for number in batch.column("id").to_pylist():
            pictures = open_block(index, blocks[number].name)
            rows = np.arange(len(pictures))
            yield _places(number, blocks[number], pictures.names, _listed(pictures, rows), rows)


def number_batches(batches: Iterable[pa.RecordBatch], index: str, blocks: Sequence[Block]) -> Iterator[pa.RecordBatch]:
    """Numbers of blocks (`id`) -> (picture, number, copies) for all in them. number: the block's, followed by ROW_BITS
    bits of the row's."""
    for batch in batches:
        for number in batch.column("id").to_pylist():
            pictures = open_block(index, blocks[number].name)
            rows = np.arange(len(pictures))
            copies = pc.list_value_length(_listed(pictures, rows).column("keys").combine_chunks()).cast(pa.int64())
            columns = [pa.array(pictures.names).cast(pa.string()), pa.array((number << ROW_BITS) + rows), copies]
            yield pa.RecordBatch.from_arrays(columns, names=[PICTURE, "number", "copies"])


def taken_batches(batches: Iterable[pa.RecordBatch], index: str, blocks: Sequence[Block]) -> Iterator[pa.RecordBatch]:
    """Rows (block, row) -> their PLACES, the `keys` and `crops` of all their rows, and their signatures."""
    parts = list(batches)
    if not parts:
        return
    number, row = (pa.Table.from_batches(parts).column(name).to_numpy() for name in ("block", "row"))
    for one in np.unique(number).tolist():
        yield _found(one, blocks[one], open_block(index, blocks[one].name), np.sort(row[number == one]))


def _places(number: int, block: Block, names: NDArray[np.bytes_], listed: pa.Table, rows: Indices) -> pa.RecordBatch:
    keys, crops = (listed.column(name).combine_chunks() for name in _LISTED)
    columns = [
        pa.array(names).cast(pa.string()),
        pa.array([block.day] * len(rows), pa.date32()),
        pc.list_element(keys, 0),
        pc.list_element(crops, 0),
        pc.list_value_length(keys).cast(pa.int64()),
        pa.array(np.full(len(rows), number, np.int32)),
        pa.array(rows.astype(np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PLACES)


def name_batches(batches: Iterable[pa.RecordBatch], index: str, folder: str) -> Iterator[pa.RecordBatch]:
    """Names of pictures, one column -> a file of them, in order, in a folder, as a row `file`; no row if there is no
    name."""
    # One batch at a time: as texts of Python, ten million names take a gigabyte.
    parts = [np.array(batch.column(0).to_pylist(), np.bytes_) for batch in batches]
    names = np.concatenate([np.empty(0, "S1"), *parts])
    names.sort()
    if len(names):
        file = f"{folder}/{uuid4().hex}.npy"
        held = io.BytesIO()
        np.save(held, names, allow_pickle=False)
        Store(index).write(file, held.getbuffer())
        yield pa.RecordBatch.from_pydict({"file": [file]})


@lru_cache(2)
def _names_in(index: str, file: str) -> NDArray[np.bytes_]:
    """The names in a file, mapped: a day may have ten million, and each task of a machine looks for them."""
    names: NDArray[np.bytes_] = np.load(Store(index).local(file), mmap_mode="r", allow_pickle=False)
    return names


def found_batches(
    batches: Iterable[pa.RecordBatch], index: str, blocks: Sequence[Block], names: str
) -> Iterator[pa.RecordBatch]:
    """Numbers of blocks (`id`) -> for those pictures that a file of names has: PLACES, `keys` and `crops` of all rows,
    and signatures."""
    for batch in batches:
        for number in batch.column("id").to_pylist() if names else ():
            pictures = open_block(index, blocks[number].name)
            rows = np.sort(found_rows(pictures.names, _names_in(index, names))[0])
            if len(rows):
                yield _found(number, blocks[number], pictures, rows)


def _found(number: int, block: Block, pictures: Pictures, rows: Indices) -> pa.RecordBatch:
    taken, listed = pictures.take(rows), _listed(pictures, rows)
    places = _places(number, block, taken.names, listed, rows)
    lists = [listed.column(name).combine_chunks() for name in _LISTED]
    columns = [*places.columns, *lists, *_as_bytes(taken.signatures)]
    return pa.RecordBatch.from_arrays(columns, names=[*PLACES.names, *_LISTED, *SIGNATURES])


def _as_bytes(signatures: Signatures) -> list[pa.Array]:
    """The signatures as columns of byte strings."""
    return [pa.array([row.tobytes() for row in array], pa.binary()) for array in signatures.arrays()]


def known_batches(
    batches: Iterable[pa.RecordBatch], index: str, blocks: Sequence[Block], new: Sequence[Block]
) -> Iterator[pa.RecordBatch]:
    """Numbers of known blocks (`id`) -> the rows of new blocks whose pictures they have: (number of the new block,
    row)."""
    for batch in batches:
        for number in batch.column("id").to_pylist():
            names = open_block(index, blocks[number].name).names
            for place, block in enumerate(new):
                found, _ = found_rows(open_block(index, block.name).names, names)
                columns = [pa.array(np.full(len(found), place, np.int32)), pa.array(found.astype(np.int32))]
                yield pa.RecordBatch.from_arrays(columns, names=["block", "row"])


def _listed(pictures: Pictures, rows: Indices) -> pa.Table:
    if pictures.places is None:
        raise ValueError("got pictures without places, expected those of a block; open_block gives them")
    return pictures.places.take(pa.array(rows, pa.int64()))


def part_batches(
    batches: Iterable[pa.RecordBatch], index: str, folder: str, blocks: Sequence[Block]
) -> Iterator[pa.RecordBatch]:
    """Rows (block, row, is_new), all of a block here -> blocks of the new pictures and of the others, as rows of
    BLOCKS.

    block: its number. A block of one kind only is used as it is; parts of the others are written to the folder.
    """
    parts = list(batches)
    if not parts:
        return
    number, row, is_new = (pa.Table.from_batches(parts).column(name).to_numpy() for name in ("block", "row", "is_new"))
    for one in np.unique(number):
        for kind in (True, False):
            chosen = np.sort(row[(number == one) & (is_new == kind)])
            if len(chosen):
                yield _row_of(_part(index, folder, replace(blocks[one], is_new=kind), chosen))


def _part(index: str, folder: str, block: Block, rows: Indices) -> Block:
    if len(rows) == block.rows:
        return block
    pictures = open_block(index, block.name)
    taken, listed = pictures.take(rows), _listed(pictures, rows)
    table = pa.table([pa.array(taken.names), *_as_bytes(taken.signatures)], names=[PICTURE, *SIGNATURES])
    lists = {name: listed.column(name).combine_chunks() for name in _LISTED}
    return write_block(index, folder, block.day, table, lists, block.is_new)


def found_rows(names: NDArray[np.bytes_], wanted: NDArray[np.bytes_]) -> tuple[Indices, Indices]:
    """Where names (N,) have the wanted ones (M,), both in order: rows of the names, and which of the wanted each is."""
    if len(wanted) > len(names):  # a search costs more than a name to search among
        which, rows = found_rows(wanted, names)
        return rows, which
    words, asked = _words(names), _words(wanted)
    start, end = np.searchsorted(words, asked, "left"), np.searchsorted(words, asked, "right")
    found, asked_for = [], []
    for step in range(int((end - start).max(initial=0))):  # names that begin alike are few
        here = np.flatnonzero(start + step < end)
        here = here[names[start[here] + step] == wanted[here]]
        found.append(start[here] + step)
        asked_for.append(here)
    none = np.empty(0, np.int64)
    return np.concatenate([none, *found]), np.concatenate([none, *asked_for])


def _words(names: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """The first letters of names as numbers in the same order."""
    letters = names.view(np.uint8).reshape(len(names), names.dtype.itemsize)[:, :_WORD]
    return np.ascontiguousarray(letters).view(">u8")[:, 0].astype(np.uint64)


def folder_of_run() -> str:
    """The name of a new folder of blocks below an index, which all machines can reach."""
    return f"{OF_RUN}{uuid4().hex}"


def remove_folder(index: str, folder: str) -> None:
    """Remove the folder of a run, if it exists. If tasks of a run that was told to stop still write there, or another
    user has made it, it stays for `maintain_tables`: how the run ended must not depend on it."""
    store = Store(index)
    try:
        if folder in store.names():
            store.remove(folder)
    except OSError as error:
        logger.warning("%s/%s: cannot be removed (%s); maintain_tables tries again in a week", index, folder, error)
