"""Blocks of distinct pictures: whatever order their rows come in, equal ones are there once, and none that cannot be
compared."""

from __future__ import annotations

from datetime import date
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spark_jobs.stages.block_writing import block_batches
from spark_jobs.stages.picture_blocks import ROW_BITS, Block, number_batches, open_block, taken_batches
from spark_jobs.stages.signature_rows import SIGNATURES
from tests.spark_jobs.catalogues import feature_rows

DAYS = [date(2026, 11, 1), date(2026, 11, 2)]
BUCKETS = 3


def name_of(row: dict) -> str:
    return sha256(b"".join(row[name] for name in SIGNATURES)).hexdigest()[:32]


def rows_of_days() -> pa.Table:
    """Used rows of two days in any order, with a bucket for each picture; of one key the descriptors are not finite."""
    rng = np.random.default_rng(9)
    rows = pa.concat_tables([feature_rows(rng, day, 40) for day in DAYS])
    rows = rows.filter(pc.equal(rows.column("reason"), "ok")).to_pylist()
    for number, value in ((7, np.inf), (30, np.nan)):
        rows[number]["descriptor"] = np.full(128, value, "<f2").tobytes()
    kept = [row | {"bucket": int(name_of(row), 16) % BUCKETS} for row in rows]
    names = ["day", "bucket", "key", "crop", *SIGNATURES]
    return pa.Table.from_pylist(kept).select(names).take(pa.array(rng.permutation(len(kept))))


def rows_in(batches) -> list[dict]:
    return [row for batch in batches for row in batch.to_pylist()]


def test_rows_in_any_order_are_each_in_the_block_of_their_picture(tmp_path):
    index, rows = f"file://{tmp_path}/index", rows_of_days()
    written = rows_in(block_batches(rows.to_batches(max_chunksize=11), index))
    assert sum(row["left_out"] for row in written) == 2
    blocks = [Block(row["day"], row["name"], row["rows"]) for row in written]
    expected: dict[tuple, list] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: (row["key"], row["crop"])):
        if np.isfinite(np.frombuffer(row["descriptor"], "<f2")).all():
            expected.setdefault((row["day"], name_of(row)), []).append((row["key"], row["crop"]))
    found = {}
    for block in blocks:
        pictures = open_block(index, block.name)
        assert pictures.names.tolist() == sorted(set(pictures.names.tolist()))
        for name, place in zip(pictures.names.tolist(), pictures.places.to_pylist(), strict=True):
            found[block.day, name.decode()] = list(zip(place["keys"], place["crops"], strict=True))
    assert found == expected
    assert max(map(len, expected.values())) > 1


def test_a_bucket_without_a_picture_is_counted_and_has_no_block(tmp_path):
    rows = rows_of_days()
    broken = [row | {"descriptor": np.full(128, np.nan, "<f2").tobytes()} for row in rows.slice(0, 1).to_pylist()]
    (told,) = rows_in(block_batches(pa.Table.from_pylist(broken, rows.schema).to_batches(), f"file://{tmp_path}"))
    assert (told["name"], told["rows"], told["left_out"]) == (None, 0, 1)
    assert not list(block_batches([], f"file://{tmp_path}"))


def test_pictures_are_taken_from_their_blocks_by_number(tmp_path):
    index = f"file://{tmp_path}/index"
    written = rows_in(block_batches(rows_of_days().to_batches(), index))
    blocks = [Block(row["day"], row["name"], row["rows"]) for row in written]
    asked = pa.RecordBatch.from_pydict({"id": pa.array(range(len(blocks)), pa.int64())})
    every = rows_in(number_batches([asked], index, blocks))
    chosen = every[::4]
    places = {"block": [row["number"] >> ROW_BITS for row in chosen], "row": [row["number"] % 2**31 for row in chosen]}
    kinds = pa.schema([("block", pa.int32()), ("row", pa.int32())])
    taken = rows_in(taken_batches(pa.table(places, kinds).to_batches(max_chunksize=3), index, blocks))
    assert sorted((row["picture"], row["copies"]) for row in taken) == sorted(
        (row["picture"], row["copies"]) for row in chosen
    )
    assert all(name_of(row) == row["picture"] and row["copies"] == len(row["keys"]) for row in taken)
    assert not list(taken_batches([], index, blocks))
