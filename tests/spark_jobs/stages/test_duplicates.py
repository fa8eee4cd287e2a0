"""Groups of duplicates over days: stable names, no dependence on order, no mixed models."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.features import FEATURES
from dlcore.search.verification import CUES, PRODUCTS, Verifier
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
