"""The groups of an index by name: their members, the pairs that are evidence, and the orders of groups.

`segment.Groups` says which group an item is in. This is the other direction, in parts of kind `lists`, each with whole
groups in the order of their names.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dlcore.search.byte_strings import ByteStrings, Indices
from dlcore.search.part import Array, Arrays, Part, Stored, numbers_of, strings_of, write_part
from dlcore.search.store import Store

ORDERS = ("size", "newest", "shops")
"""The values that groups can be listed by, largest first."""


@dataclass(frozen=True)
class Pair:
    """Two members of a group, by number, that were verified as a pair: differing bits, cosine similarity of the
    descriptors."""

    one: int
    other: int
    distance: int
    similarity: float


@dataclass(frozen=True)
class Group:
    """Pictures that show the same. members: their places `<day>/<key>#<crop>`, in order.
    newest: day of the last member that came.

    shops: how many different shops have a member, 0 if unknown.   pairs: evidence, nearest first.
    """

    name: str
    members: tuple[str, ...]
    newest: str
    shops: int
    pairs: tuple[Pair, ...] = ()


class GroupList:
    """The groups of a version; opening them reads nothing."""

    def __init__(self, parts: Sequence[tuple[str, int, Arrays]], name: str = "held") -> None:
        """parts: in order; for each, the first group's name in Latin-1, the number of groups, and the arrays."""
        self._parts, self._where = parts, f"group list of index {name}"
        self._starts = np.cumsum([0, *(count for _, count, _ in parts)], dtype=np.int64)
        self._orders: dict[str, Indices] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def find(self, name: str) -> Group | None:
        """The group with a name, and its evidence; None if there is none."""
        wanted = name.encode()
        part = bisect_right([first for first, _, _ in self._parts], wanted.decode("latin-1")) - 1
        if part < 0:
            return None
        opened = self._opened[part]
        found = opened.names.find(wanted)
        return opened.group(int(found[0]), with_pairs=True) if len(found) else None

    def listed(self, order: str, offset: int, count: int) -> list[Group]:
        """Some groups in one of `ORDERS`, without their evidence; ties go by name.

        Raises:
            ValueError: there is no such order.
        """
        if order not in ORDERS:
            raise ValueError(f"got order {order!r}, expected one of {', '.join(ORDERS)}")
        if order not in self._orders:
            keys = np.concatenate([np.empty(0, np.int64), *(part.sorted_by(order) for part in self._opened)])
            self._orders[order] = np.argsort(-keys, kind="stable")
        return [self._at(int(place)) for place in self._orders[order][offset : offset + count]]

    def _at(self, place: int) -> Group:
        part = int(np.searchsorted(self._starts, place, "right")) - 1
        return self._opened[part].group(place - int(self._starts[part]))

    @cached_property
    def _opened(self) -> list[_Lists]:
        return [_Lists(arrays, count, self._where) for _, count, arrays in self._parts]

    def map_files(self) -> None:
        """Map and check all parts."""
        for part in self._opened:
            part.check()


class _Lists:
    """The arrays of one part."""

    def __init__(self, arrays: Arrays, count: int, where: str) -> None:
        self._arrays, self._count, self._where = arrays, count, where

    @cached_property
    def names(self) -> ByteStrings:
        return strings_of(self._arrays, "groups", "group_ends", self._where, self._count)

    @cached_property
    def _members(self) -> tuple[ByteStrings, Array]:
        """The members of all groups, and where each group's end."""
        ends = self._ends("member_ends")
        return strings_of(self._arrays, "places", "place_ends", self._where, _last(ends)), ends

    @cached_property
    def _pairs(self) -> tuple[Array, Array, Array, Array, Array]:
        """Where the pairs of each group end; the numbers of both members (P,), distances, similarities."""
        ends = self._ends("pair_ends")
        names = ("pair_ones", "pair_others", "pair_distances", "pair_similarities")
        ones, others, distances, similarities = (
            numbers_of(self._arrays, name, _last(ends), None, self._where) for name in names
        )
        return ends, ones, others, distances, similarities

    def _ends(self, name: str) -> Array:
        ends = numbers_of(self._arrays, name, self._count, None, self._where)
        if np.any(np.diff(ends, prepend=0) < 0):
            raise ValueError(f"{self._where}: got {name} that go back; run build_index with --afresh")
        return ends

    def _column(self, name: str) -> Array:
        return numbers_of(self._arrays, name, self._count, None, self._where)

    def check(self) -> None:
        """Map everything."""
        self.names, self._members, self._pairs, self._column("newest"), self._column("shops")

    def sorted_by(self, order: str) -> Indices:
        """The value by which each group is sorted (N,)."""
        if order == "size":
            return np.diff(self._members[1], prepend=0)
        return self._column(order).astype(np.int64)

    def group(self, number: int, with_pairs: bool = False) -> Group:
        places, ends = self._members
        members = tuple(places[place].decode() for place in range(_start(ends, number), int(ends[number])))
        newest, shops = self._column("newest")[number], int(self._column("shops")[number])
        pairs = self._pairs_of(number, len(members)) if with_pairs else ()
        return Group(self.names[number].decode(), members, str(newest), shops, pairs)

    def _pairs_of(self, number: int, members: int) -> tuple[Pair, ...]:
        ends, *columns = self._pairs
        rows = slice(_start(ends, number), int(ends[number]))
        found = [Pair(*row) for row in zip(*(column[rows].tolist() for column in columns), strict=True)]
        if any(not 0 <= pair.one < pair.other < members for pair in found):
            raise ValueError(f"{self._where}: got pairs of other members; run build_index with --afresh")
        return tuple(sorted(found, key=lambda pair: (pair.distance, -pair.similarity)))


def _last(ends: Array) -> int:
    return int(ends[-1]) if len(ends) else 0


def _start(ends: Array, number: int) -> int:
    return int(ends[number - 1]) if number else 0


def write_group_list(store: Store, groups: Iterable[Group]) -> Part:
    """Write at least one group, in the order of their names' bytes, as a part."""
    listed = list(groups)
    pairs = [pair for group in listed for pair in group.pairs]
    return write_part(
        store,
        "lists",
        {
            **_strings("groups", "group_ends", (group.name for group in listed)),
            **_strings("places", "place_ends", (place for group in listed for place in group.members)),
            "member_ends": np.cumsum([len(group.members) for group in listed]),
            "newest": np.array([group.newest for group in listed], "M8[D]"),
            "shops": np.array([group.shops for group in listed]),
            "pair_ends": np.cumsum([len(group.pairs) for group in listed]),
            "pair_ones": np.array([pair.one for pair in pairs]),
            "pair_others": np.array([pair.other for pair in pairs]),
            "pair_distances": np.array([pair.distance for pair in pairs]),
            "pair_similarities": np.array([pair.similarity for pair in pairs]),
        },
        listed[0].name.encode().decode("latin-1"),
        {},
    )


def _strings(name: str, ends: str, values: Iterable[str]) -> Mapping[str, Array]:
    strings = ByteStrings.of(value.encode() for value in values)
    return {name: strings.data, ends: strings.ends}


def listed_groups(places: ByteStrings, groups: ByteStrings) -> list[Group]:
    """The groups, by name and without evidence, of items at ascending places."""
    members: dict[bytes, list[bytes]] = {}
    for where, name in zip(places, groups, strict=True):
        members.setdefault(name, []).append(where)
    return [
        Group(name.decode(), tuple(where.decode() for where in found), found[-1][:10].decode(), 0)
        for name, found in sorted(members.items())
    ]


def open_group_list(store: Store, parts: Sequence[Part], name: str) -> GroupList:
    """The groups that a manifest names."""
    return GroupList([(part.first, part.count, Stored(store, part)) for part in parts], name)
