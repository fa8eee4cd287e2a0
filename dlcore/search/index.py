"""An opened index: exact searches over all segments of a version, filters, look-ups by key, groups and thumbnails.

`manifest` says how versions and their files lie. Arrays are memory-mapped: opening reads only the manifest, and
processes share the pages. From a file system that is not local, only the arrays that are used are copied to this
machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlcore.search import old_formats
from dlcore.search.byte_strings import Indices
from dlcore.search.codes import Codes, Distances, nearest
from dlcore.search.entries import Entries
from dlcore.search.group_list import GroupList, listed_groups, open_group_list, write_group_list
from dlcore.search.join import joined
from dlcore.search.manifest import publish_manifest, read_manifest, versions
from dlcore.search.part import Stored
from dlcore.search.segment import (
    FILTERS,
    Groups,
    Segment,
    Where,
    groups_of,
    held_groups,
    held_segment,
    open_segment,
    write_groups,
    write_segment,
)
from dlcore.search.store import Store


@dataclass(frozen=True)
class Item:
    """One item of an index; `group` is empty if it is in none."""

    position: int
    day: str
    key: str
    crop: int
    label: str
    group: str


@dataclass(frozen=True)
class Index:
    """An opened version. A position counts through the segments, one after another.

    part: only segments whose number is `part[0]` modulo `part[1]` are searched here; other processes have the others.
    """

    version: str
    model_version: str
    code_bytes: int
    segments: Sequence[Segment]
    groups: Groups
    part: tuple[int, int] = (0, 1)
    group_list: GroupList = field(default_factory=lambda: GroupList([]))
    starts: Indices = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", np.cumsum([0, *map(len, self.segments)], dtype=np.int64))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def search(self, codes: Codes, k: int = 10, where: Where | None = None) -> tuple[Indices, Distances]:
        """The `k` nearest items of each code (Q, B) -> positions and distances in bits, both (Q, k). The search is
        exact; ties go by position.

        where: filters that items must pass. There are fewer than k only when no more items pass.
        """
        numbers = self._numbers()
        if not where or len(numbers) < 2:
            return self._nearest(numbers, codes, k, where)
        found = [self._nearest([number], codes, k, where) for number in numbers]  # codes that pass are copied
        positions, apart = (np.hstack(parts) for parts in zip(*found, strict=True))
        order = np.argsort(apart, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(positions, order, axis=1), np.take_along_axis(apart, order, axis=1)

    def _nearest(self, numbers: Sequence[int], codes: Codes, k: int, where: Where | None) -> tuple[Indices, Distances]:
        """`search` in some segments, in one call of the kernel."""
        segments = [self.segments[number] for number in numbers]
        rows = [segment.passing(where) if where else None for segment in segments]
        parts = [
            segment.codes if own is None else segment.codes[own] for segment, own in zip(segments, rows, strict=True)
        ]
        found, apart = nearest(codes, parts, k)
        positions, first = np.empty_like(found), 0
        for number, part, own in zip(numbers, parts, rows, strict=True):
            here = (found >= first) & (found < first + len(part))
            place = found[here] - first
            positions[here] = (place if own is None else own[place]) + self.starts[number]
            first += len(part)
        return positions, apart

    def within(self, codes: Codes, radius: int, where: Where | None = None) -> tuple[Indices, Indices, Distances]:
        """All items at most `radius` bits from each code (Q, B) -> numbers of codes, positions and distances, all (P,).
        Exact.

        In order of the codes, then of distance, then of position. For many codes, `join.joined` finds those of a
        segment, by multi-index hashing if that takes less time than a scan.

        where: filters that items must pass.
        """
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint16))]
        for number in self._numbers():
            segment = self.segments[number]
            rows = segment.passing(where) if where else None
            for i, j, apart in joined(codes, segment.codes if rows is None else segment.codes[rows], radius):
                found.append((i, (j if rows is None else rows[j]) + self.starts[number], apart.astype(np.uint16)))
        numbers, positions, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((positions, distances, numbers))
        return numbers[order], positions[order], distances[order]

    def _numbers(self) -> range:
        first, parts = self.part
        return range(first, len(self.segments), parts)

    def searched(self) -> list[Segment]:
        """The segments of its part."""
        return [self.segments[number] for number in self._numbers()]

    def map_files(self) -> None:
        """Map and check now what would otherwise be mapped at first use, so that the version still works after its
        files are removed.

        Pictures are left out, since they are read one by one.

        Raises:
            ValueError: a file is damaged.
        """
        for segment in self.searched():
            segment.map_files()
        self.groups.map_files()
        self.group_list.map_files()

    def find(self, key: str) -> Indices:
        """Positions of the items of a key, in order; empty if the index does not have it. No segment is scanned."""
        found = [self.segments[number].find(key.encode()) + self.starts[number] for number in self._numbers()]
        return np.concatenate([np.empty(0, np.int64), *found])

    def item(self, position: int) -> Item:
        """An item with all that is known about it."""
        segment, place = self._at(position)
        group = self.groups.of(segment.place(place))
        day, key, label = str(segment.days[place]), segment.keys[place].decode(), segment.label(place).decode()
        return Item(position, day, key, int(segment.crops[place]), label, group)

    def filters(self) -> tuple[str, ...]:
        """The filters that searches can use."""
        return tuple(dict.fromkeys((*FILTERS, *(name for segment in self.segments for name in segment.filters))))

    def told(self, position: int) -> dict[str, str | float]:
        """The values of an item in the filter columns, for example its shop and price."""
        segment, place = self._at(position)
        return segment.told(place)

    def code(self, position: int) -> NDArray[np.uint8]:
        """The code of an item (B,)."""
        segment, place = self._at(position)
        return np.array(segment.codes[place])

    def thumbnail(self, position: int) -> bytes:
        """The JPEG of an item; empty if it has none."""
        segment, place = self._at(position)
        return segment.thumbnail(place)

    def _at(self, position: int) -> tuple[Segment, int]:
        number = int(np.searchsorted(self.starts, position, "right")) - 1
        return self.segments[number], position - int(self.starts[number])


def publish(uri: str, entries: Entries, model_version: str) -> str:
    """Make `entries` the newest version of the index at `uri` -> its name; if they are the newest already, nothing is
    published."""
    store = Store(uri)
    places, groups = groups_of(entries)
    segments = [write_segment(store, entries)] if len(entries) else []
    parts = [write_groups(store, places, groups)] if len(places) else []
    lists = [write_group_list(store, listed_groups(places, groups))] if len(places) else []
    return publish_manifest(store, model_version, entries.codes.shape[1], segments, parts, lists=lists)


def open_index(uri: str, version: str | None = None, cache: Path | None = None) -> Index:
    """The newest version of the index at `uri`, or a given one.

    cache: where copies of files that are not local are kept on this machine; by default in DLCORE_CACHE.

    Raises:
        FileNotFoundError: there is no such version.
        ValueError: it has another format, or its manifest is damaged.
    """
    store = Store(uri, cache) if cache else Store(uri)
    existing = versions(store)
    wanted = version or (existing[-1] if existing else None)
    if wanted is None or wanted not in existing:
        expected = f"expected one of {', '.join(existing)}" if existing else "expected at least one version"
        raise FileNotFoundError(
            f"got {f'index {version!r}' if version else 'no index'} at {uri}, {expected}: run build_index"
        )
    try:
        manifest = read_manifest(store, wanted)
    except FileNotFoundError:
        entries, model = old_formats.read(store, wanted)
        return Index(wanted, model, entries.codes.shape[1], [held_segment(entries)], held_groups(entries))
    size = manifest.code_bytes
    segments = [open_segment(store, part, size) for part in manifest.segments]
    groups = Groups([(part.first, Stored(store, part)) for part in manifest.groups], wanted)
    lists = open_group_list(store, manifest.lists, wanted)
    return Index(wanted, manifest.model_version, size, segments, groups, group_list=lists)
