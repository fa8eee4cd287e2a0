"""Rows as tasks get them become parts of an index that a manifest can name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dlcore.search.group_list import open_group_list
from dlcore.search.index import Index, open_index
from dlcore.search.manifest import publish_manifest
from dlcore.search.part import Part, part_of
from dlcore.search.reuse import MANY, joinable, reusable
from dlcore.search.store import Store
from spark_jobs.stages import index as index_stage
from spark_jobs.stages.index import group_parts, list_parts, merged_parts, segment_parts

ROW = pa.schema(
    [("day", pa.date32()), ("key", pa.string()), ("crop", pa.int32()), ("label", pa.string()), ("code", pa.binary()),
     ("thumbnail", pa.binary())]
)  # fmt: skip
FIRST = date(2026, 11, 1)


def rows(days: int, each: int) -> list[dict[str, object]]:
    """Items of several days, some without label or thumbnail."""
    generator = np.random.default_rng(days)
    return [
        {"day": FIRST + timedelta(day), "key": f"sku{n:03d}/ü", "crop": n % 3, "label": "mug" if n % 2 else None,
         "code": generator.bytes(8), "thumbnail": generator.bytes(n) if n % 4 else None}
        for day in range(days) for n in range(each)
    ]  # fmt: skip


def batches(given: list[dict[str, object]], size: int = 7) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(given), size):
        yield pa.RecordBatch.from_pylist(given[start : start + size], schema=ROW)


def parts(written: Iterator[pa.RecordBatch]) -> list[Part]:
    return [part_of(json.loads(text)) for batch in written for text in batch.column("part").to_pylist()]


def assert_holds(index: Index, given: list[dict[str, object]]) -> None:
    assert len(index) == len(given)
    for n, row in enumerate(given):
        item = index.item(n)
        expected = (str(row["day"]), row["key"], row["crop"], row["label"] or "")
        assert (item.day, item.key, item.crop, item.label) == expected
        assert (index.code(n).tobytes(), index.thumbnail(n)) == (row["code"], row["thumbnail"] or b"")


def test_segments_are_of_one_day_and_not_too_large(tmp_path: Path) -> None:
    given = rows(days=3, each=20)
    written = parts(segment_parts(batches(given), str(tmp_path), {"2026-11-02": "state"}, most=14))
    days = [next(iter(part.days.items())) for part in written if len(part.days) == 1]
    assert len(days) == len(written)
    assert dict(days) == {"2026-11-01": "", "2026-11-02": "state", "2026-11-03": ""}
    assert all(part.count <= 14 for part in written)
    publish_manifest(Store(str(tmp_path)), "m", 8, written, [])
    assert_holds(open_index(str(tmp_path)), given)


def test_pictures_do_not_make_segments_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [row | {"thumbnail": bytes([n]) * 5000} for n, row in enumerate(rows(days=1, each=30))]
    monkeypatch.setattr(index_stage, "SEGMENT_BYTES", 20_000)
    written = parts(segment_parts(batches(given), str(tmp_path), {}))
    publish_manifest(Store(str(tmp_path)), "model", 8, written, [])
    assert len(written) == 1
    assert_holds(open_index(str(tmp_path)), given)


def test_columns_behind_those_of_every_row_are_filters(tmp_path: Path) -> None:
    given = rows(days=2, each=3)
    told = [{"shop": ("north", None, "süd")[n % 3], "price": (1.5, 2.0, None)[n % 3]} for n in range(6)]
    schema = pa.schema([*ROW, ("shop", pa.string()), ("price", pa.float64())])
    both = pa.RecordBatch.from_pylist([row | said for row, said in zip(given, told, strict=True)], schema)
    written = parts(segment_parts([both], str(tmp_path), {}))
    (merged,) = parts(merged_parts(iter([part_rows(written)]), str(tmp_path), 8))
    publish_manifest(Store(str(tmp_path)), "m", 8, [merged], [])
    index = open_index(str(tmp_path))
    assert_holds(index, given)
    assert [index.told(n) for n in range(6)] == [
        {name: v for name, v in said.items() if v is not None} for said in told
    ]


def part_rows(written: list[Part]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"part": json.dumps([part.to_json() for part in written])}])


def test_a_task_without_rows_writes_nothing(tmp_path: Path) -> None:
    assert parts(segment_parts(iter([]), str(tmp_path), {})) == []
    assert parts(segment_parts(batches([]), str(tmp_path), {})) == []
    assert parts(group_parts(iter([]), str(tmp_path))) == []
    assert list(tmp_path.iterdir()) == []


def test_groups_are_found_by_place(tmp_path: Path) -> None:
    given = rows(days=1, each=5)
    places = [{"place": f"{FIRST}/sku{n:03d}/ü#{n % 3}", "group": f"g{n}"} for n in (1, 3)]
    groups = parts(group_parts(iter([pa.RecordBatch.from_pylist(places)]), str(tmp_path)))
    publish_manifest(Store(str(tmp_path)), "m", 8, parts(segment_parts(batches(given), str(tmp_path), {})), groups)
    index = open_index(str(tmp_path))
    assert [index.item(n).group for n in range(5)] == ["", "g1", "", "g3", ""]


@pytest.mark.parametrize("held", [index_stage.LISTED, 4])
def test_groups_are_listed_with_each_pair_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(index_stage, "LISTED", held)

    def told(key: str, distance: int) -> dict[str, object]:
        return {"day": date(2026, 11, 1), "key": key, "crop": 0, "distance": distance, "similarity": 1 - distance / 64}

    def row(group: str, key: str, day: int, shop: str | None, *evidence: dict[str, object]) -> dict[str, object]:
        own = date(2026, 11, day)
        return {"group": group, "day": own, "place": f"{own}/{key}#0", "shop": shop, "evidence": list(evidence)}

    given = [
        row("g", "a", 1, "north", told("b", 3), told("c", 9)),
        row("g", "b", 1, "north", told("a", 3), told("c", 5)),
        row("g", "c", 1, None, told("a", 9), told("b", 5), told("elsewhere", 1)),
        row("h", "d", 1, "south"),
        row("h", "d", 2, "north"),
    ]
    store = Store(f"file://{tmp_path}")
    found = parts(list_parts((pa.RecordBatch.from_pylist([each]) for each in given), store.uri))
    assert [part.count for part in found] == ([2] if held > 6 else [1, 1])  # "g" has three members and three pairs
    listed = open_group_list(store, found, "test")
    first, second = listed.find("g"), listed.find("h")
    assert first is not None and second is not None
    assert first.members == tuple(f"2026-11-01/{key}#0" for key in "abc")
    assert [(pair.one, pair.other, pair.distance) for pair in first.pairs] == [(0, 1, 3), (1, 2, 5), (0, 2, 9)]
    assert [(each.shops, each.newest) for each in (first, second)] == [(1, "2026-11-01"), (2, "2026-11-02")]
    assert parts(list_parts(iter(()), store.uri)) == []


def test_many_small_segments_become_few_with_the_same_items(tmp_path: Path) -> None:
    given = rows(days=MANY + 3, each=4)
    states = {str(FIRST + timedelta(n)): f"s{n}" for n in range(MANY + 3)}
    written = parts(segment_parts(batches(given), str(tmp_path), states))
    assert joinable(written[: MANY - 1]) == []
    (together,) = joinable(written)
    texts = pa.RecordBatch.from_pylist([{"part": json.dumps([part.to_json() for part in together])}])
    merged = parts(merged_parts(iter([texts]), str(tmp_path), 8))
    assert [(part.count, part.days) for part in merged] == [(len(given), states)]
    store = Store(str(tmp_path))
    publish_manifest(store, "m", 8, merged, [])
    assert_holds(open_index(str(tmp_path)), given)
    assert reusable(store, "m", states) == merged
    assert reusable(store, "m", states | {"2026-11-03": "replaced"}) == []


def test_a_changed_day_takes_the_segments_it_shares_with_others_along(tmp_path: Path) -> None:
    """Days 1 and 2 share a segment, 2 has another of its own, 3 and 4 stand alone."""
    store, lone = Store(str(tmp_path)), rows(days=4, each=4)
    states = {str(FIRST + timedelta(n)): "s" for n in range(4)}
    one, two, three, four = parts(segment_parts(batches(lone), str(tmp_path), states))
    text = pa.RecordBatch.from_pylist([{"part": json.dumps([one.to_json(), two.to_json()])}])
    (both,) = parts(merged_parts(iter([text]), str(tmp_path), 8))
    publish_manifest(store, "m", 8, [both, two, three, four], [])
    assert reusable(store, "m", states) == [both, two, three, four]
    assert reusable(store, "m", states | {"2026-11-01": "t"}) == [three, four]
    assert reusable(store, "m", {day: state for day, state in states.items() if day != "2026-11-04"}) == [
        both,
        two,
        three,
    ]
    assert reusable(store, "other model", states) == []
    assert reusable(Store(f"{tmp_path}/none"), "m", states) == []
