"""Searches over several segments against one slow search, and files that are not what their manifest says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcore.search.byte_strings import ByteStrings
from dlcore.search.entries import Entries, concatenated
from dlcore.search.index import Index, open_index, publish
from dlcore.search.manifest import publish_manifest
from dlcore.search.segment import held_groups, held_segment, write_groups, write_segment
from dlcore.search.store import Store

LABELS = [b"mug", b"pan", b"lamp", b""]


def drawn_entries(count: int, seed: int) -> Entries:
    """Items of three days and four labels, few different codes, some keys twice, some in a group."""
    generator = np.random.default_rng(seed)
    places = sorted(
        {(int(generator.integers(3)), int(generator.integers(count)), int(generator.integers(2))) for _ in range(count)}
    )
    numbers = [generator.integers(0, 4, size) for size in range(len(places))]
    return Entries(
        codes=generator.integers(0, 2, (len(places), 8), np.uint8),
        days=np.array([np.datetime64("2026-11-01") + day for day, _, _ in places], "M8[D]"),
        keys=ByteStrings.of(f"sku{key}/é".encode() for _, key, _ in places),
        crops=np.array([crop for _, _, crop in places], np.int16),
        labels=ByteStrings.of(LABELS[int(generator.integers(4))] for _ in places),
        groups=ByteStrings.of(b"" if generator.integers(2) else b"g%d" % generator.integers(9) for _ in places),
        thumbnail_ends=np.cumsum([len(part) for part in numbers], dtype=np.int64),
        thumbnails=np.concatenate([np.empty(0, np.int64), *numbers]).astype(np.uint8),
    )


def cut(entries: Entries, ends: list[int]) -> list[Entries]:
    """Entries in parts that end at these rows, for segments."""

    def part(strings: ByteStrings, start: int, end: int) -> ByteStrings:
        return ByteStrings.of(list(strings)[start:end])

    pictures = ByteStrings(entries.thumbnails, entries.thumbnail_ends)
    found = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        own = part(pictures, start, end)
        columns = {name: part(getattr(entries, name), start, end) for name in ("keys", "labels", "groups")}
        arrays = {name: getattr(entries, name)[start:end] for name in ("codes", "days", "crops")}
        found.append(Entries(**arrays, **columns, thumbnail_ends=own.ends, thumbnails=own.data))
    return found


def slow_search(entries: Entries, code: np.ndarray, k: int, where: dict[str, list[str]]) -> list[tuple[int, int]]:
    """(distance, position) of the nearest, by a sort of all."""
    wanted = {name: [value.encode() for value in values] for name, values in where.items()}
    days, labels = [str(day).encode() for day in entries.days], list(entries.labels)
    passing = [
        n
        for n in range(len(entries))
        if ("day" not in wanted or days[n] in wanted["day"]) and ("label" not in wanted or labels[n] in wanted["label"])
    ]
    return sorted((int(np.bitwise_count(entries.codes[n] ^ code).sum()), n) for n in passing)[:k]


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "day": st.lists(st.sampled_from(["2026-11-01", "2026-11-03", "2027-01-01"]), max_size=2),
        "label": st.lists(st.sampled_from(["mug", "lamp", "", "none"]), max_size=3),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.data(), st.sampled_from([0, 1, 3, 100]), FILTERS, st.integers(0, 2**32 - 1))
def test_segments_are_searched_as_one(count, data, k, where, seed) -> None:
    entries = drawn_entries(count, seed)
    ends = sorted({*data.draw(st.lists(st.integers(1, len(entries)), max_size=3)), len(entries)})
    index = Index("v", "m", 8, [held_segment(part) for part in cut(entries, ends)], held_groups(entries))
    queries = entries.codes[:3] ^ np.uint8(1)
    positions, apart = index.search(queries, k, where)
    for query, row, distances in zip(queries, positions, apart, strict=True):
        expected = slow_search(entries, query, k, where)
        assert list(zip(distances.tolist(), row.tolist(), strict=True)) == expected
    radius = data.draw(st.integers(0, 64))
    numbers, places, distances = index.within(queries, radius, where)
    every = [slow_search(entries, query, len(entries), where) for query in queries]
    assert list(zip(numbers.tolist(), distances.tolist(), places.tolist(), strict=True)) == [
        (number, *found) for number, all_found in enumerate(every) for found in all_found if found[0] <= radius
    ]
    keys, groups = list(entries.keys), list(entries.groups)
    for n in range(len(entries)):
        item = index.item(n)
        assert (item.key.encode(), item.label.encode(), item.group.encode()) == (
            keys[n],
            list(entries.labels)[n],
            groups[n],
        )
        assert index.find(item.key).tolist() == [m for m, key in enumerate(keys) if key == keys[n]]
        assert index.thumbnail(n) == ByteStrings(entries.thumbnails, entries.thumbnail_ends)[n]


def test_items_go_through_files_and_come_back(tmp_path: Path) -> None:
    entries = drawn_entries(50, 1)
    parts = cut(entries, [9, 30, len(entries)])
    store = Store(str(tmp_path))
    written = [write_segment(store, part, {"2026-11-02": "s1"}) for part in parts]
    assert {state for part in written for day, state in part.days.items() if day == "2026-11-02"} == {"s1"}
    publish_manifest(store, "m", 8, written[::-1], [])
    read = concatenated([segment.entries() for segment in open_index(str(tmp_path)).segments])
    for name in ("codes", "days", "crops", "thumbnails", "thumbnail_ends"):
        np.testing.assert_array_equal(getattr(read, name), getattr(entries, name))
    assert (list(read.keys), list(read.labels)) == (list(entries.keys), list(entries.labels))


def test_groups_lie_in_several_parts(tmp_path: Path) -> None:
    store, places = Store(str(tmp_path)), [f"2026-11-01/sku{n:03d}#0".encode() for n in range(100)]
    segment = replace(drawn_entries(1, 0), keys=[b"sku037"], crops=np.zeros(1, np.int16))
    segment = replace(segment, days=np.array(["2026-11-01"], "M8[D]"))
    parts = [
        write_groups(store, ByteStrings.of(places[s : s + 30]), ByteStrings.of([b"g%d" % s] * len(places[s : s + 30])))
        for s in (60, 0, 30, 90)
    ]
    publish_manifest(store, "m", 8, [write_segment(store, segment)], parts)
    index = open_index(str(tmp_path))
    assert index.item(0).group == "g30"
    assert [index.groups.of(place) for place in places[::10]] == ["g0"] * 3 + ["g30"] * 3 + ["g60"] * 3 + ["g90"]
    assert [index.groups.of(b""), index.groups.of(b"2026-11-01/sku0371#0"), index.groups.of(b"3")] == ["", "", ""]


def test_an_unknown_filter_is_refused() -> None:
    entries = drawn_entries(3, 0)
    index = Index("v", "m", 8, [held_segment(entries)], held_groups(entries))
    with pytest.raises(ValueError, match=r"filters \['colour'\], expected some of"):
        index.search(entries.codes, 1, {"colour": ["red"]})


def use(folder: Path) -> None:
    """Whatever a search does with an index."""
    index = open_index(f"file://{folder}")
    for n in range(len(index)):
        index.item(n), index.thumbnail(n), index.find(index.item(n).key)
    index.search(np.zeros((1, 8), np.uint8), 3, {"label": ["mug"]})
    index.search(np.zeros((1, 8), np.uint8), 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = tmp_path_factory.mktemp("index")
    publish(f"file://{found}", drawn_entries(20, 2), "m")
    use(found)
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_refused_or_read(folder, data) -> None:
    """Files cut, made longer or with other bytes: an error that says so, or an index with other items, never a
    crash."""
    path = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*.*") if path.is_file())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, max(len(whole) - 1, 0)))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole + b"\xff" * 8, whole[:place] + b"\xff" * 8 + whole[place + 8 :], b""])
    )
    path.write_bytes(damaged)
    try:
        use(folder)
    except (ValueError, UnicodeDecodeError) as error:
        assert str(error)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"segments": [{}]}, {"segments": {"a": 1}}, {"code_bytes": 0}, {"code_bytes": "8"}, {"groups": None},
        {"version": 3},
        {"count": 10**30}, {"count": -1}, {"count": 21}, {"name": "segments/../../etc"}, {"sizes": {"codes": 1 << 60}},
        {"sizes": {"passwd": 1}}, {"sizes": {}}, {"days": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_manifests_that_can_not_be_true_are_refused(folder, tmp_path, change) -> None:
    (manifest,) = folder.glob("*.json")
    given = json.loads(manifest.read_text())
    for name, value in change.items():
        (given if name in given else given["segments"][0])[name] = value
    (tmp_path / manifest.name).write_text(json.dumps(given))
    (tmp_path / "segments").symlink_to(folder / "segments")
    (tmp_path / "groups").symlink_to(folder / "groups")
    with pytest.raises(ValueError, match="run build_index"):
        use(tmp_path)


def test_a_manifest_of_brackets_is_refused(tmp_path) -> None:
    (tmp_path / f"000001-{'ab' * 6}.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="run build_index"):
        open_index(str(tmp_path))
