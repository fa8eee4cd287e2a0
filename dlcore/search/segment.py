"""Segments, parts of an index that hold items; and groups, parts that say which items are copies of one another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dlcore.search.byte_strings import ByteStrings, Indices
from dlcore.search.codes import Codes
from dlcore.search.entries import Entries, place
from dlcore.search.filters import in_ranges
from dlcore.search.part import (
    Array,
    Arrays,
    Held,
    Part,
    Stored,
    column_array,
    columns_in,
    ends_of,
    numbers_of,
    strings_of,
    write_part,
)
from dlcore.search.store import Store

SEGMENT_ITEMS = 1_000_000
FILTERS = ("day", "label")
"""The filters of every index; the others are its columns: texts match exactly, numbers by range."""
Where = Mapping[str, Collection[str]]
"""Filter -> the values that pass: `{"label": ["mug", "pan"], "day": ["2026-11-02"], "price": ["10..20"]}`."""


class Segment:
    """Items of an index; their arrays are read at first use."""

    def __init__(self, arrays: Arrays, count: int, code_bytes: int, name: str = "held") -> None:
        self._arrays, self._count, self._code_bytes = arrays, count, code_bytes
        self._where = f"index part {name}"

    def __len__(self) -> int:
        return self._count

    @cached_property
    def codes(self) -> Codes:
        """(N, B)."""
        return self._numbers("codes", self._code_bytes).reshape(-1, self._code_bytes)

    @cached_property
    def days(self) -> NDArray[np.datetime64]:
        """(N,) datetime64[D]."""
        return self._numbers("days")

    @cached_property
    def crops(self) -> NDArray[np.int16]:
        """(N,): which crop of its picture each item is."""
        return self._numbers("crops")

    @cached_property
    def keys(self) -> ByteStrings:
        """The keys of the pictures."""
        return strings_of(self._arrays, "keys", "key_ends", self._where, self._count)

    @cached_property
    def labels(self) -> tuple[ByteStrings, Array]:
        """The different labels, and which of them each item has (N,)."""
        names = strings_of(self._arrays, "labels", "label_ends", self._where)
        return names, numbers_of(self._arrays, "label_ids", self._count, len(names), self._where)

    @cached_property
    def columns(self) -> dict[str, tuple[ByteStrings, Array] | NDArray[np.float64]]:
        """The columns to filter by: the different texts, and which of them each item has (N,); or numbers (N,), NaN for
        none."""
        return {name: self._column(name, is_number) for name, is_number in columns_in(self._arrays.names()).items()}

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters of its items; no file is read for this."""
        return (*FILTERS, *columns_in(self._arrays.names()))

    def _column(self, name: str, is_number: bool) -> tuple[ByteStrings, Array] | NDArray[np.float64]:
        if is_number:
            return self._numbers(column_array(name, "numbers"))
        texts, ends, ids = (column_array(name, kind) for kind in ("names", "ends", "ids"))
        names = strings_of(self._arrays, texts, ends, self._where)
        return names, numbers_of(self._arrays, ids, self._count, len(names), self._where)

    def told(self, position: int) -> dict[str, str | float]:
        """The values of an item in the filter columns; empty ones are left out."""
        found: dict[str, str | float] = {}
        for name, column in self.columns.items():
            if isinstance(column, tuple):
                text = column[0][int(column[1][position])]
                found |= {name: text.decode()} if text else {}
            elif not np.isnan(column[position]):
                found[name] = float(column[position])
        return found

    @cached_property
    def _key_order(self) -> Array:
        return numbers_of(self._arrays, "key_order", self._count, max(self._count, 1), self._where)

    @cached_property
    def _thumbnail_ends(self) -> Array:
        return ends_of(self._arrays, "thumbnail_ends", "thumbnails", self._where, self._count)

    def _numbers(self, name: str, each: int = 1) -> Array:
        return numbers_of(self._arrays, name, self._count * each, None, self._where)

    def map_files(self) -> None:
        """Map and check all arrays but the pictures."""
        for name in ("codes", "days", "crops", "keys", "labels", "columns", "_key_order", "_thumbnail_ends"):
            getattr(self, name)

    def find(self, key: bytes) -> Indices:
        """Positions of the items of a key, in order."""
        return self.keys.find(key, self._key_order)

    def label(self, position: int) -> bytes:
        """The label of an item."""
        names, ids = self.labels
        return names[int(ids[position])]

    def thumbnail(self, position: int) -> bytes:
        """The JPEG of an item; empty if it has none."""
        ends = self._thumbnail_ends
        return self._arrays.piece("thumbnails", int(ends[position - 1]) if position else 0, int(ends[position]))

    def place(self, position: int) -> bytes:
        """The name of an item in the groups."""
        return place(self.days[position], self.keys[position], int(self.crops[position]))

    def passing(self, where: Where) -> Indices | None:
        """Positions of the items that pass all filters, in order; None if all do.

        Raises:
            ValueError: there is no such filter, or a range has a wrong form.
        """
        if unknown := set(where) - set(self.filters):
            raise ValueError(
                f"got filters {sorted(unknown)}, expected some of {', '.join(self.filters)}; build_index adds what "
                "PIPELINE_INDEX_FILTERS names"
            )
        passes = np.ones(self._count, bool)
        if "day" in where:
            passes &= np.isin(self.days, np.array(list(where["day"]), "M8[D]"))
        if "label" in where:
            passes &= _is_one_of(*self.labels, where["label"])
        for name in set(where) - set(FILTERS):
            column = self.columns[name]
            passes &= _is_one_of(*column, where[name]) if isinstance(column, tuple) else in_ranges(column, where[name])
        return None if passes.all() else np.flatnonzero(passes)

    def entries(self) -> Entries:
        """Its items, without groups, which are kept apart."""
        labels = _spelled(*self.labels)
        columns = {name: _spelled(*held) if isinstance(held, tuple) else held for name, held in self.columns.items()}
        groups = ByteStrings(np.empty(0, np.uint8), np.zeros(self._count, np.int64))
        pictures = self._arrays.array("thumbnails")
        return Entries(
            self.codes, self.days, self.keys, self.crops, labels, groups, self._thumbnail_ends, pictures, columns
        )


class Groups:
    """Which items are in which group. parts: in the order of their first places."""

    def __init__(self, parts: Sequence[tuple[str, Arrays]], name: str = "held") -> None:
        self._firsts, self._arrays = [first for first, _ in parts], [arrays for _, arrays in parts]
        self._where = f"groups of index {name}"
        self._read: dict[int, tuple[ByteStrings, ByteStrings, Array]] = {}

    def of(self, wanted: bytes) -> str:
        """The group of the item at a place; empty if it is in none."""
        number = bisect_right(self._firsts, wanted.decode("latin-1")) - 1
        if number < 0:
            return ""
        places, names, ids = self._part(number)
        found = places.find(wanted)
        return names[int(ids[found[0]])].decode() if len(found) else ""

    def map_files(self) -> None:
        """Map and check all parts."""
        for number in range(len(self._arrays)):
            self._part(number)

    def _part(self, number: int) -> tuple[ByteStrings, ByteStrings, Array]:
        if number not in self._read:
            arrays = self._arrays[number]
            places = strings_of(arrays, "places", "place_ends", self._where)
            names = strings_of(arrays, "groups", "group_ends", self._where)
            self._read[number] = places, names, numbers_of(arrays, "group_ids", len(places), len(names), self._where)
        return self._read[number]


def write_segment(store: Store, entries: Entries, states: Mapping[str, str] | None = None) -> Part:
    """Write items, at least one, as a segment.

    states: day -> what its rows were made from, for the days of these items.
    """
    days = {str(day): (states or {}).get(str(day), "") for day in np.unique(entries.days)}
    first = place(entries.days[0], entries.keys[0], int(entries.crops[0]))
    return write_part(store, "segments", segment_arrays(entries), first.decode("latin-1"), days)


def open_segment(store: Store, part: Part, code_bytes: int) -> Segment:
    """A segment that a manifest names."""
    return Segment(Stored(store, part), part.count, code_bytes, part.name)


def held_segment(entries: Entries) -> Segment:
    """Items in memory as a segment."""
    return Segment(Held(segment_arrays(entries)), len(entries), entries.codes.shape[1])


def write_groups(store: Store, places: ByteStrings, groups: ByteStrings) -> Part:
    """Write the groups of at least one item; the places are in ascending order."""
    return write_part(store, "groups", _group_arrays(places, groups), places[0].decode("latin-1"), {})


def held_groups(entries: Entries) -> Groups:
    """The groups of items in memory."""
    places, groups = groups_of(entries)
    return Groups([("", Held(_group_arrays(places, groups)))])


def groups_of(entries: Entries) -> tuple[ByteStrings, ByteStrings]:
    """Places of the items that are in a group, ascending, and their groups."""
    found = sorted(
        (place(entries.days[n], entries.keys[n], int(entries.crops[n])), group)
        for n, group in enumerate(entries.groups)
        if group
    )
    return ByteStrings.of(where for where, _ in found), ByteStrings.of(group for _, group in found)


def segment_arrays(entries: Entries) -> dict[str, Array]:
    """The arrays of a segment with these items."""
    names, ids = _dictionary(entries.labels)
    return {
        "codes": entries.codes.reshape(-1),
        "days": entries.days.astype("M8[D]"),
        "crops": entries.crops,
        "keys": entries.keys.data,
        "key_ends": entries.keys.ends,
        "key_order": entries.keys.order(),
        "label_ids": ids,
        "labels": names.data,
        "label_ends": names.ends,
        "thumbnails": entries.thumbnails,
        "thumbnail_ends": entries.thumbnail_ends,
        **{name: array for column in entries.columns.items() for name, array in _column_arrays(*column).items()},
    }


def _column_arrays(column: str, values: ByteStrings | NDArray[np.float64]) -> dict[str, Array]:
    """The arrays of a filter column in a segment."""
    if not isinstance(values, ByteStrings):
        return {column_array(column, "numbers"): values}
    names, ids = _dictionary(values)
    return {
        column_array(column, kind): array for kind, array in (("ids", ids), ("names", names.data), ("ends", names.ends))
    }


def _is_one_of(names: ByteStrings, ids: Array, wanted: Collection[str]) -> NDArray[np.bool_]:
    """Which items have one of the wanted texts."""
    texts = {text.encode() for text in wanted}
    return np.isin(ids, [number for number, name in enumerate(names) if name in texts])


def _spelled(names: ByteStrings, ids: Array) -> ByteStrings:
    """The text of each item."""
    return ByteStrings.of(names[number] for number in ids.tolist())


def _group_arrays(places: ByteStrings, groups: ByteStrings) -> dict[str, Array]:
    names, ids = _dictionary(groups)
    return {
        "places": places.data,
        "place_ends": places.ends,
        "group_ids": ids,
        "groups": names.data,
        "group_ends": names.ends,
    }


def _dictionary(strings: ByteStrings) -> tuple[ByteStrings, NDArray[np.int32]]:
    """The different strings in order, and which of them each string is (N,)."""
    given = list(strings)
    names = sorted(set(given))
    number = {name: place for place, name in enumerate(names)}
    return ByteStrings.of(names), np.array([number[string] for string in given], np.int32)
