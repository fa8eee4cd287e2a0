"""Every contract accepts a good sample and rejects each kind of bad row, through Great Expectations on Spark."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from data_contracts.crops import CROPS
from data_contracts.detections import DETECTIONS
from data_contracts.duplicate_pairs import DUPLICATE_PAIRS
from data_contracts.duplicates import DUPLICATES
from data_contracts.features import FEATURES
from data_contracts.images import IMAGES
from data_contracts.picture_copyright import PICTURE_COPYRIGHT
from data_contracts.price_monitoring import PRICE_MONITORING
from data_contracts.raw_images import RAW_IMAGES
from data_contracts.withdrawn import WITHDRAWN
from spark_jobs.pipeline import STAGES
from spark_jobs.running import auditing
from tests.spark_jobs.lake import Lake

DAY = date(2026, 11, 2)
BOX = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.6, "y_max": 1.0}
OBJECT = {"label": "shoe", "score": 0.9, **BOX}
COMPUTED = {"model_version": "0f3a", "computed_by": "avx512/onednn+native"}
EVIDENCE = {"day": DAY, "key": "b", "crop": 0, "distance": 3, "similarity": 0.98}


MORNING = datetime(2026, 11, 2, 10, tzinfo=UTC)


def descriptor_with(value: float, place: int) -> bytes:
    """128 numbers up to the largest that float16 has, one of them replaced."""
    numbers = np.linspace(-65504, 65504, 128).astype("<f2")
    numbers[place] = value
    return numbers.tobytes()


GOOD: Mapping[str, tuple[Contract, dict[str, Any]]] = {
    "raw_images": (RAW_IMAGES, {"image": b"bytes", "size_bytes": 5, "metadata": [("title", "a shoe")]}),
    "images": (
        IMAGES,
        {
            "image": b"jpeg",
            "source_format": "png",
            "width": 640,
            "height": 480,
            "sha256": "ab" * 32,
            "blur": 12.5,
            "entropy": 7.1,
            "flags": ["alpha"],
        },
    ),
    "detections": (DETECTIONS, {"objects": [OBJECT], "guesses": [OBJECT], **COMPUTED}),
    "crops": (
        CROPS,
        {
            "crop": 0,
            "image": b"jpeg",
            "x_min": 0,
            "y_min": 2,
            "x_max": 640,
            "y_max": 480,
            "label": "shoe",
            "score": 0.9,
            "source": "detection",
            "whole_hash": b"w" * 32,
        },
    ),
    "features": (
        FEATURES,
        {
            "crop": 0,
            "code": b"c" * 16,
            "descriptor": descriptor_with(0.5, 0),
            "luminance_hash": b"l" * 32,
            "whole_hash": b"w" * 32,
            "chroma": b"h" * 128,
            **COMPUTED,
        },
    ),
    "duplicate_pairs": (
        DUPLICATE_PAIRS,
        {"crop": 0, "picture": "a1", "copies": 2, "verifier": "v", "within_code": 28, "within_whole": 51},
    ),
    "price_monitoring": (
        PRICE_MONITORING,
        {
            **{"crop": 0, "group": "2026-11-02/a", "currency": "EUR", "title": "Blue mug", "pictures": 3, "shops": 2},
            "shop_names": ["market", "north"],
            **{"lowest": 10.0, "median": 12.0, "highest": 12.5, "lowest_shop": "north", "highest_shop": "market"},
            **{"lowest_key": "a", "highest_key": "b", "spread": 0.25, "first_seen": MORNING, "last_seen": DAY},
            **{"same_sha256": 0, "near_phash": 1, "same_title": 2},
        },
    ),
    "picture_copyright": (
        PICTURE_COPYRIGHT,
        {
            **{"crop": 0, "group": "2026-11-01/z", "kind": "other_owner", "owner": "Ben", "shop": "market"},
            **{"title": "Blue mug", "first_seen": MORNING, "last_seen": DAY, "original_day": DAY, "original_key": "z"},
            **{"original_crop": 0, "original_owner": "Anna", "original_shop": "north", "original_title": "Mug, blue"},
            **{"original_first_seen": MORNING - timedelta(days=3), "days_later": 3, "distance": 5, "similarity": 0.97},
            **{"evidence": [EVIDENCE], "found_by": ["phash"]},
        },
    ),
    "withdrawn": (WITHDRAWN, {"why": "asked by the owner", "at": MORNING, "run": "withdraw__1"}),
    "duplicates": (
        DUPLICATES,
        {
            "crop": 0,
            "group": "2026-11-02/a",
            "size": 1,
            "is_representative": True,
            "evidence": [EVIDENCE],
            "evidence_count": 1,
        },
    ),
}

PAIR = {
    **{"other": "b2", "other_day": date(2026, 11, 1), "other_key": "z", "other_crop": 1, "copies": None},
    **{"distance": 3, "whole_distance": 60, "similarity": 0.98, "probability": 0.9},
}

BAD: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("raw_images", {"size_bytes": None}, "required_columns"),
    ("raw_images", {"day": None}, "required_columns"),
    ("raw_images", {"reason": "forgotten"}, "known_reason"),
    ("raw_images", {"size_bytes": -1}, "size_is_counted"),
    ("raw_images", {"size_bytes": 0}, "used_has_bytes"),
    ("images", {"width": None}, "used_has_size"),
    ("images", {"sha256": None}, "used_has_sha256"),
    ("images", {"sha256": "AB" * 32}, "sha256_is_hexadecimal"),
    ("images", {"entropy": 8.5}, "measures_in_range"),
    ("images", {"flags": ["alpha", "pretty"]}, "known_flags"),
    ("detections", {"objects": [OBJECT, {**OBJECT, "x_max": 1.01}]}, "boxes_inside_image"),
    ("detections", {"objects": [{**OBJECT, "y_min": None}]}, "boxes_inside_image"),
    ("detections", {"guesses": [OBJECT, {**OBJECT, "x_max": 1.01}]}, "boxes_inside_image"),
    ("detections", {"objects": [{**OBJECT, "x_min": 0.7}]}, "boxes_inside_image"),
    ("detections", {"objects": [{**OBJECT, "score": 1.5}]}, "scores_in_range"),
    ("detections", {"objects": [{**OBJECT, "score": float("nan")}]}, "scores_in_range"),
    ("detections", {"objects": [{**OBJECT, "label": None}]}, "objects_have_labels"),
    ("detections", {"model_version": None}, "objects_have_model"),
    ("detections", {"model_version": "1f3a"}, "one_model_version"),
    ("detections", {"reason": "blank"}, "unused_is_empty"),
    ("crops", {"x_max": 0}, "used_has_box"),
    ("crops", {"y_min": None}, "used_has_box"),
    ("crops", {"score": -0.1}, "scores_in_range"),
    ("crops", {"crop": -1}, "crop_is_counted"),
    ("crops", {"source": "guess"}, "used_has_source"),
    ("crops", {"whole_hash": None}, "hash_length"),
    ("crops", {"whole_hash": b""}, "hash_length"),
    ("features", {"code": None}, "code_length"),
    ("features", {"code": b"c" * 15}, "code_length"),
    ("features", {"code": b"c" * 24}, "code_length"),
    ("features", {"luminance_hash": b"l" * 8}, "verification_length"),
    *(("features", {name: None}, "used_has_signatures") for name in ("luminance_hash", "whole_hash", "chroma")),
    ("features", {"descriptor": b""}, "verification_length"),
    *(
        ("features", {"descriptor": descriptor_with(value, place)}, "descriptor_is_finite")
        for value, place in ((np.nan, 0), (-np.nan, 64), (np.inf, 127), (-np.inf, 3))
    ),
    ("features", {"model_version": None}, "used_has_model"),
    ("features", {"model_version": "1f3a"}, "one_model_version"),
    ("features", {"reason": "truncated"}, "unused_is_empty"),
    ("duplicate_pairs", {"copies": 0}, "picture_is_counted"),
    ("duplicate_pairs", {"picture": None}, "required_columns"),
    ("duplicate_pairs", {"reason": "blank"}, "pictures_are_used"),
    ("duplicate_pairs", {**PAIR, "similarity": None}, "pair_has_evidence"),
    ("duplicate_pairs", {**PAIR, "other_day": DAY}, "later_first"),
    ("duplicate_pairs", {**PAIR, "distance": 29}, "within_limits"),
    ("withdrawn", {"why": None}, "required_columns"),
    ("withdrawn", {"reason": "blank"}, "is_a_decision"),
    ("withdrawn", {"at": MORNING + timedelta(days=1)}, "day_of_the_decision"),
    ("price_monitoring", {"pictures": 1, "shops": 1, "near_phash": 1, "same_title": 0}, "several_pictures"),
    ("price_monitoring", {"lowest": 0.0, "spread": 0.0}, "prices_in_order"),
    ("price_monitoring", {"median": 13.0}, "prices_in_order"),
    ("price_monitoring", {"spread": 0.5}, "prices_in_order"),
    ("price_monitoring", {"shops": 4}, "shops_are_of_pictures"),
    ("price_monitoring", {"same_title": 4}, "others_find_some"),
    ("price_monitoring", {"reason": "withdrawn"}, "groups_are_used"),
    ("picture_copyright", {"kind": "stolen"}, "known_kind"),
    ("picture_copyright", {"owner": "Anna"}, "is_another"),
    ("picture_copyright", {"kind": "other_shop", "shop": "north"}, "is_another"),
    ("picture_copyright", {"original_first_seen": MORNING + timedelta(days=1)}, "original_is_earlier"),
    ("picture_copyright", {"distance": -1}, "evidence_in_range"),
    ("picture_copyright", {"found_by": ["eye"]}, "known_methods"),
    ("picture_copyright", {"reason": "withdrawn"}, "pictures_are_used"),
    ("duplicates", {"group": None}, "used_has_group"),
    ("duplicates", {"evidence_count": 0}, "evidence_is_counted"),
    ("duplicates", {"size": 2}, "whole_groups"),
    ("duplicates", {"is_representative": False}, "whole_groups"),
    ("duplicates", {"evidence": [{**EVIDENCE, "similarity": 1.5}]}, "evidence_in_range"),
    ("duplicates", {"reason": "blank"}, "unused_is_alone"),
)


BY_DAY = {"duplicate_pairs"}
"""Datasets over all days that are partitioned by day all the same."""


def table_of(contract: Contract, *changes: Mapping[str, Any]) -> pa.Table:
    """Good rows with keys row-0, row-1 ..., each with its changes."""
    _, good = GOOD[contract.dataset]
    places = {"day": DAY, "reason": "ok"}
    rows = [
        places | {"key": f"row-{number}"} | _alone(good, number) | dict(change) for number, change in enumerate(changes)
    ]
    return pa.Table.from_pylist(rows, schema=contract.arrow_schema())


def _alone(good: dict[str, Any], number: int) -> dict[str, Any]:
    """In a group of its own, where there are groups."""
    return good | {"group": f"2026-11-02/row-{number}"} if "group" in good else good


@pytest.fixture(scope="module")
def spark(lake: Lake) -> Iterator[Any]:
    """The session that this module's audits run in."""
    from pyspark.sql.connect.session import SparkSession

    session = lake.connect()
    SparkSession._active_session.session = session
    yield session
    session.stop()


def broken(spark: Any, contract: Contract, rows: pa.Table, given: pa.Table | None = None) -> dict[str, list[str]]:
    """The names of the broken rules, with the keys that each of them names."""
    keys: tuple[str, ...] = ()
    if given is not None:
        spark.createDataFrame(given).createOrReplaceTempView("given")
        keys = tuple(name for name in contract.key if name in given.column_names)
    frame = spark.createDataFrame(rows.select(contract.audited_columns()))
    results = auditing.broken_rules(frame, contract, keys, "given")
    return {result.rule: result.samples for result in results}


@pytest.mark.spark
@pytest.mark.parametrize("dataset", GOOD)
def test_a_contract_accepts_good_rows_and_names_what_is_bad(spark: Any, dataset: str) -> None:
    contract = GOOD[dataset][0]
    assert broken(spark, contract, table_of(contract, {}, {})) == {}
    cases = [(change, rule) for name, change, rule in BAD if name == dataset]
    found = broken(spark, contract, table_of(contract, {}, *(change for change, _ in cases)))
    expected: dict[str, list[str]] = {}
    for number, (change, rule) in enumerate(cases, start=1):
        day = [] if "day" in change else [str(DAY)]
        place = [*day, f"row-{number}"] + ([str(change.get("crop", 0))] if "crop" in contract.key else [])
        place += [change["other"]] if "other" in change else []
        place += ["EUR"] if "currency" in contract.key else []
        place += [f"{change.get('at', MORNING):%Y-%m-%d %H:%M:%S}"] if "at" in contract.key else []
        expected.setdefault(rule, []).append("/".join(place))
    assert {rule: sorted(samples) for rule, samples in found.items()} == {
        rule: sorted(samples)[:3] for rule, samples in expected.items()
    }


@pytest.mark.spark
def test_a_pair_of_pictures_keeps_its_contract(spark: Any) -> None:
    assert broken(spark, DUPLICATE_PAIRS, table_of(DUPLICATE_PAIRS, {}, PAIR)) == {}


@pytest.mark.spark
def test_rows_are_compared_with_their_input(spark: Any) -> None:
    given = table_of(IMAGES, {}, {"reason": "blank"}, {"width": 320}, {})
    rows = table_of(CROPS, {}, {"reason": "ok"}, {}, {"key": "stranger"})
    found = broken(spark, CROPS, rows, given.select(IMAGES.audited_columns()))
    assert set(found) == {"same_keys_as_input", "kept_reason", "boxes_inside_image"}
    assert sorted(found["same_keys_as_input"]) == ["2026-11-02/row-3", "2026-11-02/stranger/0"]
    assert found["kept_reason"] == ["2026-11-02/row-1/0"]
    assert found["boxes_inside_image"] == ["2026-11-02/row-2/0"]


@pytest.mark.spark
def test_a_key_twice_is_found_by_one_query(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pyspark.sql.connect.dataframe.DataFrame.count")
    found = broken(spark, RAW_IMAGES, table_of(RAW_IMAGES, {}, {}, {"key": "row-1"}))
    assert found == {"unique_keys": ["2026-11-02/row-1"]}


def test_every_stage_that_writes_has_its_contract() -> None:
    for stage in STAGES.values():
        if stage.contract is not None:
            module, _, name = stage.contract.partition(":")
            contract = getattr(importlib.import_module(module), name)
            assert contract.dataset == stage.writes
            assert contract.is_partitioned is not stage.all_days or stage.writes in BY_DAY


def test_audits_leave_the_image_bytes_alone() -> None:
    for contract, _ in GOOD.values():
        assert "image" not in contract.audited_columns()
