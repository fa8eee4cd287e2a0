"""Groups over HTTP."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from urllib.parse import quote

import numpy as np
import pytest

from dlcore.search.entries import place
from dlcore.search.group_list import Group, Pair, write_group_list
from dlcore.search.manifest import publish_manifest, read_manifest, versions
from dlcore.search.store import Store
from tests.search_service.serving import publish_random, serving


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A service of 400 items, and the items."""
    folder = tmp_path_factory.mktemp("groups")
    _, entries = publish_random(f"file://{folder}/index", 1, 400)
    with serving(f"file://{folder}/index", folder) as service:
        yield service, entries


def test_groups_by_size_and_by_day(large):
    service, entries = large
    expected = Counter(group.decode() for group in entries.groups if group)
    newest = {group.decode(): str(day) for group, day in zip(entries.groups, entries.days, strict=True) if group}
    found = service.client.get("/api/v1/groups?count=200").json()
    assert found["groups"] == found["listed"] == len(expected)
    assert {each["group"]: each["size"] for each in found["page"]} == expected
    by_day = service.client.get("/api/v1/groups?order=newest&start=10&count=20").json()["page"]
    days = sorted(newest.values(), reverse=True)
    assert [each["newest"] for each in by_day] == days[10:30]
    assert all(newest[each["group"]] == each["newest"] for each in by_day)
    assert all(each["shops"] == 0 and len(each["pictures"]) == min(each["size"], 4) for each in by_day)


def test_the_evidence_of_a_group_whose_name_has_slashes(tmp_path):
    store, name = Store(f"file://{tmp_path}/index"), "2026-11-01/mug/0"
    _, entries = publish_random(store.uri, 1, 6)
    places = sorted(place(*each) for each in zip(entries.days, entries.keys, entries.crops.tolist(), strict=True))
    pairs = (Pair(1, 2, 3, 0.75), Pair(0, 2, 9, 0.5))
    group = Group(name, tuple(where.decode() for where in places[:3]), "2026-11-02", 2, pairs)
    manifest = read_manifest(store, versions(store)[-1])
    lists = [write_group_list(store, [group])]
    publish_manifest(store, "model", manifest.code_bytes, manifest.segments, manifest.groups, lists=lists)
    with serving(store.uri, tmp_path, workers="1") as service:
        found = service.client.get(f"/api/v1/groups/{name}").json()
        assert found == service.client.get(f"/api/v1/groups/{quote(name, safe='')}").json()
        (listed,) = service.client.get("/api/v1/groups?order=shops").json()["page"]
    assert (found["size"], found["shops"], found["newest"]) == (3, 2, "2026-11-02")
    assert [tuple(pair.values()) for pair in found["pairs"]] == [(1, 2, 3, 0.75), (0, 2, 9, 0.5)]
    assert (listed["group"], listed["size"], listed["shops"]) == (name, 3, 2)


def test_members_of_a_group_and_how_far_they_are_apart(large):
    service, entries = large
    found = service.client.get("/api/v1/groups/group7").json()
    positions = [n for n, group in enumerate(entries.groups) if group == b"group7"]
    assert [member["position"] for member in found["members"]] == positions and found["size"] == len(positions) == 3
    codes = np.unpackbits(entries.codes[positions], axis=1).astype(int)
    apart = [np.abs(first - second).sum() for first, second in combinations(codes, 2)]
    assert [pair["distance"] for pair in found["pairs"]] == sorted(apart)


def test_a_group_that_is_not_there_is_told(served):
    answer = served.client.get("/api/v1/groups/none")
    assert answer.status_code == 404 and "/api/v1/groups" in answer.json()["do"]
    members = served.client.get("/api/v1/groups/g").json()["members"]
    assert [member["key"] for member in members] == ["sku0/0", "sku3/0"]
