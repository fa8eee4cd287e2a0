"""Parts of an index: folders of plain arrays that never change once a manifest names them.

A part's file `<array>.bin` holds the numbers of one array and nothing else; their type is known by the array's name,
how many they are by the manifest. A truncated file therefore has another size than the manifest says, and no header is
trusted.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlcore.search.byte_strings import ByteStrings
from dlcore.search.store import Store

Array = NDArray[Any]
TYPES = {
    "codes": "u1", "days": "<M8[D]", "crops": "<i2", "keys": "u1", "key_ends": "<i8", "key_order": "<u4",
    "label_ids": "<i4", "labels": "u1", "label_ends": "<i8", "thumbnails": "u1", "thumbnail_ends": "<i8",
    "places": "u1", "place_ends": "<i8", "group_ids": "<i4", "groups": "u1", "group_ends": "<i8",
    "member_ends": "<i8", "newest": "<M8[D]", "shops": "<i4", "pair_ends": "<i8", "pair_ones": "<i4",
    "pair_others": "<i4",
    "pair_distances": "<i2", "pair_similarities": "<f4",
}  # fmt: skip
"""The type of the numbers in each array; the lowest byte of a number comes first."""
_COLUMN_TYPES = {"ids": "<i4", "names": "u1", "ends": "<i8", "numbers": "<f8"}
_COLUMN = re.compile(r"^column-([a-z][a-z0-9_]{0,62})-(ids|names|ends|numbers)$")
_REPAIR = "open the newest version again, or run build_index with --afresh"
_COUNTED = {"segments": "key_ends", "groups": "place_ends", "lists": "group_ends"}
"""Kind of part -> the array that has one number for each of its items."""
_NAME = re.compile(r"^(segments|groups|lists)/[0-9a-f]{12}-[0-9a-f]{16}$")


@dataclass(frozen=True)
class Part:
    """What a manifest says about a part.

    name: its folder.   count: number of its items.   sizes: array -> bytes of its file.   content: hash of all files.
    first: the place of its first item, byte by byte in Latin-1, so that such strings sort like the bytes.
    days: those of its items, each with what its rows were made from, if the writer says so.
    """

    name: str
    count: int
    sizes: Mapping[str, int]
    content: str
    first: str
    days: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(self.sizes.values())

    def to_json(self) -> dict[str, Any]:
        """The JSON that `part_of` reads."""
        return asdict(self)


def type_of(name: str) -> str:
    """The type of the numbers in an array, "" if there is no such array.

    >>> type_of("codes"), type_of(column_array("shop", "ids")), type_of("../codes")
    ('u1', '<i4', '')
    """
    column = _COLUMN.match(name)
    return TYPES.get(name, "") if column is None else _COLUMN_TYPES[column[2]]


def column_array(column: str, kind: str) -> str:
    """The name of an array of a filter column: `ids`, `names` or `ends` for texts, or `numbers`.

    Raises:
        ValueError: a column cannot have that name.
    """
    name = f"column-{column}-{kind}"
    if not _COLUMN.match(name):
        raise ValueError(
            f"got filter column {column!r}, expected small letters, digits and underscores, a letter first"
        )
    return name


def columns_in(arrays: Collection[str]) -> dict[str, bool]:
    """The filter columns that arrays of these names make, in order, and whether each is of numbers."""
    found = (match for name in sorted(arrays) if (match := _COLUMN.match(name)))
    return {match[1]: match[2] == "numbers" for match in found}


def part_of(given: Any) -> Part:
    """The part that a manifest's JSON describes.

    Raises:
        ValueError: it describes none.
    """
    is_part = (
        isinstance(given, dict)
        and set(given) == {"name", "count", "sizes", "content", "first", "days"}
        and all(isinstance(given[name], str) for name in ("name", "content", "first"))
        and _NAME.match(given["name"])
        and _is_count(given["count"])
        and isinstance(given["sizes"], dict)
        and all(type_of(name) for name in given["sizes"])
        and all(_is_count(size) for size in given["sizes"].values())
        and isinstance(given["days"], dict)
        and all(isinstance(state, str) for state in given["days"].values())
    )
    if not is_part:
        raise ValueError(f"got {str(given)[:200]}, expected a part of an index")
    return Part(**given)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


class Arrays(Protocol):
    """The source of a part's arrays."""

    def array(self, name: str) -> Array:
        """The whole array."""

    def names(self) -> Collection[str]:
        """The names of the arrays."""

    def size(self, name: str) -> int:
        """The bytes of an array."""

    def piece(self, name: str, start: int, end: int) -> bytes:
        """Some bytes of an array."""


@dataclass(frozen=True)
class Held:
    """Arrays in memory."""

    arrays: Mapping[str, Array]

    def array(self, name: str) -> Array:
        """See `Arrays`."""
        return self.arrays[name]

    def names(self) -> Collection[str]:
        """See `Arrays`."""
        return self.arrays.keys()

    def size(self, name: str) -> int:
        """See `Arrays`."""
        return self.arrays[name].nbytes

    def piece(self, name: str, start: int, end: int) -> bytes:
        """See `Arrays`."""
        return self.arrays[name][start:end].tobytes()


@dataclass(frozen=True)
class Stored:
    """Arrays of a part in a store, mapped at first use."""

    store: Store
    part: Part

    def array(self, name: str) -> Array:
        """The array, mapped from this machine's disk.

        Raises:
            ValueError: the file is missing or has another size than the manifest says.
        """
        wanted, dtype = self.part.sizes.get(name), np.dtype(type_of(name))
        try:
            path = self.store.local(f"{self.part.name}/{name}.bin")
            size = path.stat().st_size
        except FileNotFoundError:
            path, size = Path(), -1
        if size != wanted or size % dtype.itemsize:
            got = f"{size} bytes" if size >= 0 else "no file"
            raise ValueError(
                f"index part {self.part.name}: got {got} as {name}.bin, expected {wanted} bytes; {_REPAIR}"
            )
        return np.memmap(path, dtype, "r") if size else np.empty(0, dtype)

    def names(self) -> Collection[str]:
        """See `Arrays`."""
        return self.part.sizes.keys()

    def size(self, name: str) -> int:
        """See `Arrays`."""
        return self.part.sizes.get(name, 0)

    def piece(self, name: str, start: int, end: int) -> bytes:
        """Some bytes of a file, which is not copied as a whole.

        Raises:
            ValueError: the file is missing or ends before them.
        """
        try:
            found = self.store.read(f"{self.part.name}/{name}.bin", start, end) if end > start else b""
        except FileNotFoundError:
            found = b""
        if len(found) != end - start:
            raise ValueError(
                f"index part {self.part.name}: got {len(found)} bytes of {name}.bin from {start}, expected "
                f"{end - start}; {_REPAIR}"
            )
        return found


def write_part(store: Store, kind: str, arrays: Mapping[str, Array], first: str, days: Mapping[str, str]) -> Part:
    """Write arrays as a new part of a kind ("segments", "groups" or "lists"); no reader sees it until a manifest names
    it."""
    digest = hashlib.sha256(first.encode())
    given = {name: np.ascontiguousarray(array, type_of(name)) for name, array in sorted(arrays.items())}
    for name, array in given.items():
        digest.update(name.encode())
        digest.update(_bytes_of(array))
    content = digest.hexdigest()[:12]
    folder = f"{kind}/{content}-{uuid.uuid4().hex[:16]}"
    for name, array in given.items():
        store.write(f"{folder}/{name}.bin", _bytes_of(array))
    count = len(given[_COUNTED[kind]])
    return Part(folder, count, {name: array.nbytes for name, array in given.items()}, content, first, dict(days))


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def ends_of(arrays: Arrays, name: str, of: str, where: str, count: int | None = None) -> Array:
    """Where the byte strings of array `of` end, checked.

    count: how many there must be.

    Raises:
        ValueError: they cannot end there.
    """
    ends, size = arrays.array(name), arrays.size(of)
    last = ends[-1] if len(ends) else 0
    is_sound = last == size and (ends[:1] >= 0).all() and (ends[1:] >= ends[:-1]).all()
    if not is_sound or (count is not None and len(ends) != count):
        expected = f"{count} places" if count is not None else "places"
        raise ValueError(
            f"{where}: got {len(ends)} {name}, the last {last}, expected {expected} in the {size} bytes of {of}; "
            "run build_index with --afresh"
        )
    return ends


def strings_of(arrays: Arrays, name: str, ends: str, where: str, count: int | None = None) -> ByteStrings:
    """Byte strings of a part, their ends checked by `ends_of`."""
    found = ends_of(arrays, ends, name, where, count)
    return ByteStrings(arrays.array(name), found)


def numbers_of(arrays: Arrays, name: str, count: int, below: int | None, where: str) -> Array:
    """An array of a part that must have `count` numbers, all at least 0 and less than `below`.

    Raises:
        ValueError: it has others.
    """
    array = arrays.array(name)
    if len(array) != count or (below is not None and count and not 0 <= array.min() <= array.max() < below):
        raise ValueError(
            f"{where}: got {len(array)} {name}, expected {count}" + (f" below {below}" if below is not None else "")
            + "; run build_index with --afresh"
        )  # fmt: skip
    return array
