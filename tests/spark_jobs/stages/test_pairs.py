"""Pairs of distinct pictures: whatever days came and went, they are those of all compared with all, and so are their groups."""

from __future__ import annotations

from datetime import date
from functools import partial
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore.search.verification import cues
from spark_jobs.stages.duplicates import find_groups, group_batches
from spark_jobs.stages.pairs import CANDIDATES, block_batches, bundles_of, compared_tiles, tile, tile_count
from spark_jobs.stages.picture_blocks import Block
from spark_jobs.stages.signature_rows import SIGNATURES, signatures_of
from tests.spark_jobs.catalogues import CALIBRATION, feature_rows

DAYS = [date(2026, 11, day) for day in (1, 2, 3, 4)]
POOL = {day: feature_rows(np.random.default_rng(day.day), day, 30) for day in DAYS}


def pictures_of(days: list[pa.Table]) -> pa.Table:
    """The used rows of some days with a name for each picture: here its signatures themselves, in digits."""
    rows = pa.concat_tables(days)
    rows = rows.filter(pc.equal(rows.column("reason"), "ok"))
    names = ["".join(row[name].hex() for name in SIGNATURES) for row in rows.select(list(SIGNATURES)).to_pylist()]
    return rows.select(["day", "key", "crop", *SIGNATURES]).append_column("picture", pa.array(names, pa.string()))


def step(folder: str, pairs: dict, known: set[str], rows: pa.Table, tasks: int) -> tuple[dict, set[str]]:
    """One run of the comparison, its Spark plan in plain loops: the pairs and the pictures before -> those after."""
    names = rows.column("picture").to_pylist()
    unknown = {"picture": pa.array(sorted(known), pa.string())} | {
        n: pa.nulls(len(known), pa.binary()) for n in SIGNATURES
    }
    both = pa.concat_tables([rows.select(["picture", *SIGNATURES]), pa.table(unknown)])
    task_of = np.array([hash(name) % tasks for name in both.column("picture").to_pylist()], np.int64)
    written = [
        pa.Table.from_batches(
            block_batches(both.filter(pa.array(task_of == n)).to_batches(max_chunksize=7), folder), BLOCKS
        )
        for n in range(tasks)
    ]
    blocks = [Block(**row) for part in written for row in part.to_pylist()]
    assert sum(block.rows for block in blocks) == len(set(names))
    bundles = bundles_of(blocks, 2)
    tiles = pa.RecordBatch.from_pydict({"id": list(range(tile_count(bundles)))}, pa.schema([("id", pa.int64())]))
    found = pa.Table.from_batches(compared_tiles([tiles], folder, bundles, CALIBRATION)) if len(tiles) else pa.table({})
    new = {(row["picture"], row["other"]): row for row in found.to_pylist() if row["picture"] != CANDIDATES}
    kept = {ends: row for ends, row in pairs.items() if set(ends) <= set(names)}
    assert not set(kept) & set(new), "no pair is compared twice"
    return kept | new, set(names)


BLOCKS = pa.schema([("name", pa.string()), ("rows", pa.int64()), ("is_new", pa.bool_())])


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
    folder = f"file://{tmp_path_factory.mktemp('blocks')}"
    now = {day: POOL[day].slice(0, 0) for day in DAYS}
    pairs, known = {}, set()
    for day, chosen in changes:  # an empty choice empties or withdraws the day
        now[day] = POOL[day].take(pa.array(chosen, pa.int64()))
        rows = pictures_of(list(now.values()))
        pairs, known = step(folder, pairs, known, rows, tasks)
        assert {ends: row["distance"] for ends, row in pairs.items()} == all_with_all(rows)


def test_every_pair_of_blocks_with_a_new_one_is_one_tile():
    for new, old in ((0, 3), (1, 0), (1, 2), (4, 3)):
        blocks = [Block(f"{n}", 1, n < new) for n in range(new + old)]
        expected = {frozenset((a, b)) for a in blocks for b in blocks if a.is_new or b.is_new}
        bundles = [(block,) for block in blocks]
        found = [frozenset((*one, *other)) for one, other in map(partial(tile, bundles), range(tile_count(bundles)))]
        assert len(found) == len(set(found)) == len(expected)
        assert set(found) == expected


def test_components_grouped_apart_are_the_groups_of_all():
    rows = pictures_of(list(POOL.values())).sort_by([(name, "ascending") for name in ("day", "key", "crop")])
    signatures = signatures_of(rows)
    first, copy_of = signatures.distinct()
    copies = np.bincount(copy_of)
    distinct = rows.take(pa.array(first)).append_column("copies", pa.array(copies, pa.int64()))
    pairs = all_with_all(distinct)
    names = distinct.column("picture").to_pylist()
    others = [[b for a, b in pairs if a == name] for name in names]
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
