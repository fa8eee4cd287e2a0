"""Groups of duplicates over days: stable names, no dependence on order, no mixed models."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.features import FEATURES
from dlcore.search.verification import CUES, PRODUCTS, Verifier
from spark_jobs.stages import duplicates
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import duplicate_rows

DAYS = [datetime.date(2026, 11, day) for day in (1, 2, 3)]
BY_CODE = Verifier((-40.0, *[0.0] * (len(CUES) + len(PRODUCTS) - 1)), 8.0)  # P = 0.5 where a fifth of the bits differ
CALIBRATION = Calibration(BY_CODE, 0.5, 30, 0, "model-1")


def feature(day, key, code, crop=0, version="model-1", reason="ok"):
    generator = np.random.default_rng(zlib_of(key))
    values = {"day": day, "key": key, "crop": crop, "reason": reason}
    if reason != "ok":
        return values
    return values | {
        "code": code.tobytes(),
        "descriptor": (code.astype(np.float16) + 1).tobytes(),
        "luminance_hash": generator.bytes(32),
        "whole_hash": generator.bytes(32),
        "chroma": bytes(128),
        "model_version": version,
        "computed_by": "test",
    }


def zlib_of(key):
    return sum(key.encode())


def catalogue():
    """Six articles on three days, each seen two or three times with a few flipped bits, and an unusable row."""
    generator = np.random.default_rng(5)
    rows = [feature(DAYS[1], "broken/0", None, reason="truncated")]
    for article in range(6):
        code = generator.integers(0, 256, 16, np.uint8)
        for copy in range(2 + article % 2):
            changed = code.copy()
            changed[copy] ^= np.uint8(1)
            rows.append(feature(DAYS[(article + copy) % 3], f"sku{article}/{copy}", changed))
    return rows


def table(rows):
    return pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema())


def test_a_key_that_looks_like_a_crop_shares_no_group_name_with_it():
    codes = np.random.default_rng(2).integers(0, 256, (4, 16), np.uint8)
    places = [("a", 0), ("a", 1), ("a#1", 0), ("a#1#0", 0)]
    rows = [feature(DAYS[0], key, code, crop) for (key, crop), code in zip(places, codes, strict=True)]
    found = duplicate_rows(table(rows), CALIBRATION).to_pylist()
    assert [row["size"] for row in found] == [1, 1, 1, 1]
    assert len({row["group"] for row in found}) == 4
    assert found[0]["group"] == "2026-11-01/a"


def test_copies_share_a_group_named_after_its_smallest_member():
    found = {row["key"]: row for row in duplicate_rows(table(catalogue()), CALIBRATION).to_pylist()}
    assert found["sku0/0"]["group"] == found["sku0/1"]["group"] == "2026-11-01/sku0/0"
    assert found["sku2/0"]["group"] == "2026-11-01/sku2/1"  # its copy is of an earlier day
    assert found["sku1/0"]["size"] == 3
    assert sum(row["is_representative"] for key, row in found.items() if key.startswith("sku1")) == 1
    evidence = found["sku0/0"]["evidence"]
    assert [(pair["key"], pair["distance"]) for pair in evidence] == [("sku0/1", 2)]
    assert found["broken/0"]["group"] is None
    assert found["broken/0"]["reason"] == "truncated"


@pytest.mark.parametrize("seed", range(3))
def test_days_and_rows_in_any_order_give_the_same_groups(seed):
    rows = catalogue()
    expected = duplicate_rows(table(rows), CALIBRATION)
    order = np.random.default_rng(seed).permutation(len(rows))
    assert duplicate_rows(table([rows[n] for n in order]), CALIBRATION).equals(expected)


def test_a_group_keeps_its_name_when_a_later_day_adds_to_it():
    rows = catalogue()
    before = {row["key"]: row["group"] for row in duplicate_rows(table(rows), CALIBRATION).to_pylist()}
    code = np.frombuffer(next(row["code"] for row in rows if row["key"] == "sku4/0"), np.uint8)
    rows.append(feature(datetime.date(2026, 11, 9), "sku4/new", code))
    after = {row["key"]: row["group"] for row in duplicate_rows(table(rows), CALIBRATION).to_pylist()}
    assert after.pop("sku4/new") == before["sku4/0"]
    assert after == before


def test_two_crops_of_an_image_have_names_of_their_own():
    code = np.arange(16, dtype=np.uint8)
    rows = [feature(DAYS[0], "a/0", code), feature(DAYS[0], "a/0", ~code, crop=1)]
    assert duplicate_rows(table(rows), CALIBRATION).column("group").to_pylist() == [
        "2026-11-01/a/0",
        "2026-11-01/a/0#1",
    ]


def test_codes_of_two_models_are_refused():
    code = np.zeros(16, np.uint8)
    rows = [feature(DAYS[0], "a/0", code), feature(DAYS[1], "b/0", code, version="model-2")]
    with pytest.raises(ValueError, match="2 model versions"):
        duplicate_rows(table(rows), CALIBRATION)
    with pytest.raises(ValueError, match="run calibrate_duplicates again"):
        duplicate_rows(table(rows[1:]), CALIBRATION)


def test_no_rows_and_no_used_rows_give_no_groups():
    assert len(duplicate_rows(table([]), CALIBRATION)) == 0
    assert duplicate_rows(table(catalogue()[:1]), CALIBRATION).column("group").to_pylist() == [None]


def equal_rows(count, first="a"):
    """Rows that differ in their keys only."""
    row = feature(DAYS[0], "a/0", np.arange(16, dtype=np.uint8))
    return [row | {"key": f"{first}/{number:05}"} for number in range(count)]


def test_equal_pictures_cost_no_more_than_their_number():
    rows = duplicate_rows(table(equal_rows(4000)), CALIBRATION).to_pylist()
    assert {(row["group"], row["size"]) for row in rows} == {("2026-11-01/a/00000", 4000)}
    assert [row["key"] for row in rows if row["is_representative"]] == ["a/00000"]
    assert sum(row["evidence_count"] for row in rows) == 2 * 3999
    assert [len(row["evidence"]) for row in rows] == [100] + 3999 * [1]
    assert [entry["key"] for entry in rows[0]["evidence"]] == [row["key"] for row in rows[1:101]]
    assert {(e["distance"], e["similarity"]) for row in rows for e in row["evidence"]} == {(0, 1.0)}


def near_rows(count):
    """Pictures of one article: codes of which any two differ in two bits, and equal copies of the first."""
    code = np.zeros(16, np.uint8)
    rows = []
    for number in range(count):
        changed = code.copy()
        changed[number // 8] ^= np.uint8(1 << number % 8)
        rows.append(feature(DAYS[0], f"b/{number:03}", changed))
    return [*rows, rows[0] | {"key": "b/copy"}]


@pytest.mark.parametrize("count", [5, 40])
def test_evidence_reaches_every_member(count):
    rows = duplicate_rows(table(near_rows(count)), CALIBRATION).to_pylist()
    assert {row["size"] for row in rows} == {count + 1}
    graph = {row["key"]: {e["key"] for e in row["evidence"]} for row in rows}
    reached, waiting = set(), ["b/000"]
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting += graph[key]
    assert len(reached) == count + 1
    entries = sum(len(keys) for keys in graph.values())
    assert entries == 2 * (1 + count * (count - 1) // 2 if count <= 20 else count)
    assert all(key in graph[other] for key, others in graph.items() for other in others)


def test_a_member_far_from_the_representative_has_its_likeliest_pair(monkeypatch):
    monkeypatch.setattr(duplicates, "_ALL_PAIRS", 2)
    codes = [[0, 0], [0x0F, 0], [0xFF, 0x0F], [0xFF, 0xFF]]  # 4, 8 and 4 bits apart; the ends 16
    calibration = replace(CALIBRATION, verifier=Verifier((-80.0, *BY_CODE.weights[1:]), 8.0))  # P = 0.5 at 12.8 bits
    rows = [feature(DAYS[0], f"c/{n}", np.array([*code, *[0] * 14], np.uint8)) for n, code in enumerate(codes)]
    found = duplicate_rows(table(rows), calibration).to_pylist()
    assert {row["size"] for row in found} == {4}
    assert all(row["evidence"] for row in found)
    assert sum(len(row["evidence"]) for row in found) == 2 * 3
    assert all(e["distance"] <= 12 for row in found for e in row["evidence"])


BROKEN = {
    "no hash": {"luminance_hash": None},
    "no whole hash": {"whole_hash": None},
    "short colours": {"chroma": bytes(12)},
    "no descriptor": {"descriptor": None},
    "empty descriptor": {"descriptor": b""},
    "odd descriptor": {"descriptor": bytes(31)},
    "NaN": {"descriptor": np.array([1.0] * 15 + [np.nan], "<f2").tobytes()},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_an_older_contract_let_through_does_not_hold_up_the_others(name, caplog):
    good = table(catalogue())
    expected = duplicate_rows(good, CALIBRATION).to_pylist()
    broken = feature(DAYS[0], "old/0", np.zeros(16, np.uint8)) | BROKEN[name]
    found = {row["key"]: row for row in duplicate_rows(table([*catalogue(), broken]), CALIBRATION).to_pylist()}
    alone = found.pop("old/0")
    assert list(found.values()) == expected
    assert (alone["group"], alone["size"], alone["evidence"]) == ("2026-11-01/old/0", 1, [])
    assert "left out 1 used rows" in caplog.text
    assert "2026-11-01/old/0#0" in caplog.text
