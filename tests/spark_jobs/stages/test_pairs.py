"""Pairs of distinct pictures: whatever days came and went, they are those of all compared with all, and so are their
groups."""

from __future__ import annotations

from datetime import date
from functools import partial
from hashlib import sha256
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore.search.verification import cues
from spark_jobs.stages.block_writing import block_batches
from spark_jobs.stages.duplicates import find_groups, group_batches
from spark_jobs.stages.pairs import (
    CANDIDATES,
    PAIRS,
    bundles_of,
    compared_tiles,
    pair_files,
    pairs_of_files,
    part_count,
    tile,
    tile_count,
)
from spark_jobs.stages.picture_blocks import (
    Block,
    found_batches,
    found_rows,
    known_batches,
    name_batches,
    part_batches,
    place_batches,
)
from spark_jobs.stages.picture_days import PictureDay, PictureDays
from spark_jobs.stages.signature_rows import SIGNATURES, signatures_of
from tests.spark_jobs.catalogues import CALIBRATION, feature_rows

DAYS = [date(2026, 11, day) for day in (1, 2, 3, 4)]
POOL = {day: feature_rows(np.random.default_rng(day.day), day, 30) for day in DAYS}


def pictures_of(days: list[pa.Table]) -> pa.Table:
    """The used rows of some days with a name for each picture: a hash of its signatures."""
    rows = pa.concat_tables(days)
    rows = rows.filter(pc.equal(rows.column("reason"), "ok"))
    signatures = rows.select(list(SIGNATURES)).to_pylist()
    names = [sha256(b"".join(row[name] for name in SIGNATURES)).hexdigest()[:32] for row in signatures]
    return rows.select(["day", "key", "crop", *SIGNATURES]).append_column("picture", pa.array(names, pa.string()))


def blocks_of(index: str, rows: pa.Table, tasks: int) -> list[Block]:
    """The rows of a day in blocks, its pictures spread over some buckets."""
    buckets = [int(name, 16) % tasks for name in rows.column("picture").to_pylist()]
    rows = rows.append_column("bucket", pa.array(buckets, pa.int64())).drop_columns("picture")
    written = rows_of(block_batches(rows.to_batches(max_chunksize=7), index))
    assert not any(row.pop("left_out") for row in written)
    return [Block(**row) for row in written]


def blocks_in(batches) -> list[Block]:
    return [Block(**row) for batch in batches for row in batch.to_pylist()]


def numbers(count: int) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pydict({"id": list(range(count))}, pa.schema([("id", pa.int64())]))]


def rows_of(batches) -> list[dict]:
    return [row for batch in batches for row in batch.to_pylist()]


def firsts_of(index: str, blocks: list[Block]) -> dict[str, dict]:
    """Each picture's first row."""
    places = rows_of(place_batches(numbers(len(blocks)), index, blocks))
    places.sort(key=lambda row: (row["day"], row["key"], row["crop"]), reverse=True)
    return {row["picture"]: row for row in places}


def compared(index: str, chosen: list[tuple[dict, bool]], blocks: list[Block], old: list[Block]) -> list[dict]:
    """The pairs of the new ones among chosen pictures (where they lie, whether they are new) with all of these and with
    old blocks."""
    told = [{"block": row["block"], "row": row["row"], "is_new": is_new} for row, is_new in chosen]
    batches = pa.Table.from_pylist(told, PART_ROWS).to_batches(max_chunksize=9)
    parts = blocks_in(part_batches(batches, index, "parts", blocks)) + old
    bundles = bundles_of(parts, 2)
    tasks = numbers(3 * tile_count(bundles)) if bundles else []
    compare = partial(compared_tiles, index=index, bundles=bundles, calibration=CALIBRATION, parts=3)
    files = [row["file"] for row in rows_of(pair_files(tasks, index, "parts", compare)) if row["file"]]
    return rows_of(pairs_of_files(numbers(len(files)), index, files))


def whole(index: str, pairs: dict, known: set[str], blocks: list[Block]) -> dict:
    """A run over all days, its Spark plan in plain loops: the pairs and pictures before -> the pairs after."""
    firsts = firsts_of(index, blocks)
    found = compared(index, [(row, name not in known) for name, row in firsts.items()], blocks, [])
    new = {(row["picture"], row["other"]): row for row in found}
    assert len(new) == len(found)
    kept = {ends: row for ends, row in pairs.items() if set(ends) <= set(firsts)}
    assert not set(kept) & set(new), "no pair is compared twice"
    return kept | new


def added(index: str, pairs: dict, new: list[Block], old: list[Block]) -> dict:
    """A run over days that are later than all others."""
    known = {(row["block"], row["row"]) for row in rows_of(known_batches(numbers(len(old)), index, old, new))}
    chosen = [(row, True) for row in firsts_of(index, new).values() if (row["block"], row["row"]) not in known]
    found = compared(index, chosen, new, old)
    assert len(chosen) == len(set(firsts_of(index, new)) - set(firsts_of(index, old)))
    return pairs | {(row["picture"], row["other"]): row for row in found}


PART_ROWS = pa.schema([("block", pa.int32()), ("row", pa.int32()), ("is_new", pa.bool_())])


def all_with_all(rows: pa.Table) -> dict:
    """The pairs by a slow loop over all pairs of different pictures."""
    signatures = signatures_of(rows)
    names = rows.column("picture").to_pylist()
    found = {}
    for i, j in combinations(range(len(names)), 2):
        apart = [int((np.unpackbits(a[i]) != np.unpackbits(a[j])).sum()) for a in (signatures.codes, signatures.wholes)]
        near = apart[0] <= CALIBRATION.code_distance or apart[1] <= CALIBRATION.hash_distance
        if near and names[i] != names[j]:
            chance = CALIBRATION.verifier.probability(cues(signatures, np.array([i]), np.array([j])))[0]
            if chance >= 0.8:
                found[min(names[i], names[j]), max(names[i], names[j])] = apart[0]
    return found


@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.sampled_from(DAYS), st.lists(st.integers(0, 30), max_size=12)), min_size=1, max_size=5),
    st.integers(1, 3),
)
def test_days_that_come_go_and_are_replaced_leave_the_pairs_of_all_with_all(tmp_path_factory, changes, tasks):
    index = f"file://{tmp_path_factory.mktemp('index')}"
    now = {day: POOL[day].slice(0, 0) for day in DAYS}
    pairs, days = {}, PictureDays(0)
    for day, chosen in changes:  # an empty choice empties or withdraws the day
        now[day] = POOL[day].take(pa.array(chosen, pa.int64()))
        rows = {name: pictures_of([rows]) for name, rows in now.items() if len(rows)}
        content = {str(name): str(of_day.to_pylist()) for name, of_day in rows.items()}
        kept = {name: day for name, day in days.days.items() if content.get(name) == day.content}
        blocks = {str(name): blocks_of(index, of_day, tasks) for name, of_day in rows.items() if str(name) not in kept}
        new = {
            n: PictureDay("", content[n], 0, (), tuple((b.name, b.rows) for b in found)) for n, found in blocks.items()
        }
        later, known = PictureDays(0, None, kept | new), set(firsts_of(index, days.blocks()))
        names = later.added_to(days)
        blocks_now, blocks_before = later.blocks(names), days.blocks()
        pairs = (
            added(index, pairs, blocks_now, blocks_before)
            if names is not None
            else whole(index, pairs, known, blocks_now)
        )
        days = later
        every = pa.concat_tables([pictures_of([POOL[day].slice(0, 0)]), *rows.values()])
        assert {ends: row["distance"] for ends, row in pairs.items()} == all_with_all(every)


def test_pairs_lie_in_files_of_bounded_size_and_all_candidates_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("spark_jobs.stages.pairs._IN_FILE", 3)
    row = {"other": "z", "distance": 1, "whole_distance": 2, "similarity": 0.5, "probability": 0.875}
    end = {"picture": CANDIDATES, "probability": 70}

    def compare(batches):
        for number in rows_of(batches):
            for size in (2, 2, 1)[: number["id"]]:
                yield pa.RecordBatch.from_pylist([{"picture": f"{number['id']}", **row}] * size, PAIRS)
            yield pa.RecordBatch.from_pylist([end], PAIRS)

    told = rows_of(pair_files(numbers(4), f"file://{tmp_path}", "parts", compare))
    files = [row["file"] for row in told if row["file"]]
    assert sum(row["candidates"] for row in told) == 4 * 70
    assert len(files) == len(set(files)) == len(list((tmp_path / "parts").iterdir())) == 4
    found = rows_of(pairs_of_files(numbers(len(files)), f"file://{tmp_path}", files))
    assert found == [{"picture": name, **row} for name in "11222233333"]


def test_joint_codes_of_crop_and_whole_image_are_compared_as_one_and_grouped(tmp_path):
    index = f"file://{tmp_path}/index"
    days = [pictures_of([feature_rows(np.random.default_rng(day.day), day, 30, bits=256)]) for day in DAYS[:2]]
    blocks = [blocks_of(index, rows, 2) for rows in days]
    pairs = added(index, whole(index, {}, set(), blocks[0]), blocks[1], blocks[0])
    rows = pa.concat_tables(days)
    assert {ends: row["distance"] for ends, row in pairs.items()} == all_with_all(rows)
    assert max(row["distance"] for row in pairs.values()) > 20
    assert {len(code) for code in rows.column("code").to_pylist()} == {32}
    check_components_are_the_groups(rows)


def test_pictures_are_found_by_name_in_the_blocks_that_have_them(tmp_path):
    index = f"file://{tmp_path}/index"
    tables = [pictures_of([POOL[day]]) for day in DAYS[:2]]
    blocks = [block for rows in tables for block in blocks_of(index, rows, 2)]
    asked = sorted({name for rows in tables for name in rows.column("picture").to_pylist()[::3]})
    batches = pa.table({"picture": asked[::-1]}).to_batches(max_chunksize=4)
    ((told),) = rows_of(name_batches(batches, index, "names"))
    found = rows_of(found_batches(numbers(len(blocks)), index, blocks, told["file"]))
    expected = [row for rows in tables for row in rows.to_pylist() if row["picture"] in asked]
    listed = [(row, *place) for row in found for place in zip(row["keys"], row["crops"], strict=True)]
    told = sorted((row["day"], key, crop, row["code"]) for row, key, crop in listed)
    assert told == sorted((row["day"], row["key"], row["crop"], row["code"]) for row in expected)
    assert all(row["copies"] == len(row["keys"]) and row["key"] == row["keys"][0] for row in found)
    assert not rows_of(found_batches(numbers(len(blocks)), index, blocks, ""))


NAMES = st.lists(st.integers(0, 40), unique=True).map(lambda numbers: [f"{n % 5:08}{n:024}" for n in numbers])


@given(NAMES, NAMES)
def test_names_in_order_are_found_among_others_whichever_are_more_and_though_some_begin_alike(names, wanted):
    names, wanted = (np.sort(np.array(some, "S32")) for some in (names, wanted))
    rows, which = found_rows(names, wanted)
    expected = [(i, j) for i, one in enumerate(names) for j, other in enumerate(wanted) if one == other]
    assert sorted(zip(rows.tolist(), which.tolist(), strict=True)) == expected


def test_every_pair_of_blocks_with_a_new_one_is_one_tile():
    for new, old in ((0, 3), (1, 0), (1, 2), (4, 3)):
        blocks = [Block(DAYS[0], f"{n}", 1, n < new) for n in range(new + old)]
        expected = {frozenset((a, b)) for a in blocks for b in blocks if a.is_new or b.is_new}
        bundles = [(block,) for block in blocks]
        found = [frozenset((*one, *other)) for one, other in map(partial(tile, bundles), range(tile_count(bundles)))]
        assert len(found) == len(set(found)) == len(expected)
        assert set(found) == expected


def test_a_tile_is_shared_by_as_many_tasks_as_are_wanted_if_it_is_large():
    large, small = [Block(DAYS[0], f"{n}", 1 << 16) for n in range(16)], [Block(DAYS[0], "0", 1000)]
    found = [(tile_count(bundles), part_count(bundles, 4)) for bundles in (bundles_of(large, 3), bundles_of(small, 3))]
    assert found == [(1, 4), (1, 1)]
    bundles = bundles_of(large, 30)
    assert tile_count(bundles) * part_count(bundles, 31) >= 30


def test_components_grouped_apart_are_the_groups_of_all():
    check_components_are_the_groups(pictures_of(list(POOL.values())))


def check_components_are_the_groups(rows: pa.Table) -> None:
    """What each component gives on its own is what all rows together give."""
    rows = rows.sort_by([(name, "ascending") for name in ("day", "key", "crop")])
    signatures = signatures_of(rows)
    first, copy_of = signatures.distinct()
    copies = np.bincount(copy_of)
    distinct = rows.take(pa.array(first)).append_column("copies", pa.array(copies, pa.int64()))
    pairs = all_with_all(distinct)
    names = distinct.column("picture").to_pylist()
    others = [[*(b for a, b in pairs if a == name), "no longer used"] for name in names]
    members = distinct.append_column("others", pa.array(others, pa.list_(pa.string())))
    expected = {
        (str(rows["key"][group.members[0]]), len(group.members), str(rows["picture"][group.representative]))
        for group in find_groups(signatures, CALIBRATION)
        if len(np.unique(copy_of[group.members])) > 1
    }
    found = [
        row for batch in group_batches(members.to_batches(max_chunksize=9), CALIBRATION) for row in batch.to_pylist()
    ]
    chosen = {(row["group_place"]["key"], row["group_size"], row["picture"]) for row in found if row["is_chosen"]}
    assert chosen == expected
    assert len(expected) > 5
