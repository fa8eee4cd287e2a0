"""The list of groups against a dictionary of them: found by name, sorted, over several parts; and damaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dlcore.search.group_list import ORDERS, Group, GroupList, Pair, open_group_list, write_group_list
from dlcore.search.index import open_index
from dlcore.search.manifest import publish_manifest, read_manifest, remove_old
from dlcore.search.store import Store


def drawn_groups(count: int) -> list[Group]:
    """Groups with names in byte order, one of them not ASCII."""
    generator, found = np.random.default_rng(3), []
    for number in range(count):
        day = f"2026-11-{1 + number % 9:02d}"
        members = tuple(f"{day}/sku{number}-é/{n}#0" for n in range(int(generator.integers(2, 7))))
        pairs = [Pair(0, n, int(generator.integers(40)), n / 8) for n in range(1, len(members))]
        pairs.sort(key=lambda pair: (pair.distance, -pair.similarity))
        found.append(Group(f"{day}/sku{number}-é/0", members, day, int(generator.integers(4)), tuple(pairs)))
    return sorted(found, key=lambda group: group.name.encode())


def published(folder: Path, groups: list[Group], cuts: list[int]) -> tuple[Store, str]:
    store = Store(f"file://{folder}/index")
    parts = [
        write_group_list(store, groups[start:end]) for start, end in zip([0, *cuts], [*cuts, len(groups)], strict=True)
    ]
    return store, publish_manifest(store, "model", 16, [], [], lists=parts)


@pytest.mark.parametrize("cuts", [[], [1, 30]])
def test_groups_are_found_and_sorted_as_in_a_dictionary(tmp_path: Path, cuts: list[int]) -> None:
    groups = drawn_groups(50)
    store, version = published(tmp_path, groups, cuts)
    opened = open_index(store.uri).group_list
    opened.map_files()
    assert len(opened) == 50
    assert [opened.find(group.name) for group in groups] == groups
    assert [opened.find(name) for name in ("", "2026-11-01", "zzz")] == [None] * 3
    values = {
        "size": lambda group: len(group.members),
        "newest": lambda group: group.newest,
        "shops": lambda group: group.shops,
    }
    for order in ORDERS:
        expected = sorted(groups, key=values[order], reverse=True)  # a stable sort: equal ones by name
        bare = [replace(group, pairs=()) for group in expected]
        assert [*opened.listed(order, 0, 7), *opened.listed(order, 7, 100)] == bare
    with pytest.raises(ValueError, match="got order 'name', expected one of size, newest, shops"):
        opened.listed("name", 0, 10)
    assert read_manifest(store, version).lists == tuple(
        sorted(read_manifest(store, version).lists, key=lambda part: part.first)
    )


def test_an_index_without_a_list_has_no_groups_to_browse(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/index")
    publish_manifest(store, "model", 16, [], [])
    opened = open_index(store.uri).group_list
    assert (len(opened), opened.find("x"), opened.listed("size", 0, 10)) == (0, None, [])


def test_the_lists_of_old_versions_go_with_them(tmp_path: Path) -> None:
    store, _ = published(tmp_path, drawn_groups(5), [])
    published(tmp_path, drawn_groups(6), [2])
    assert len(store.names("lists")) == 3
    remove_old(store.uri, 1)
    assert len(store.names("lists")) == 2 and len(open_index(store.uri).group_list) == 6


def test_pairs_of_strangers_are_refused(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}")
    part = write_group_list(store, [replace(drawn_groups(1)[0], pairs=(Pair(0, 99, 1, 0.5),))])
    opened: GroupList = open_group_list(store, [part], "v")
    with pytest.raises(ValueError, match="pairs of other members; run build_index with --afresh"):
        opened.find(drawn_groups(1)[0].name)
