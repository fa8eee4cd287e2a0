"""Every contract accepts a good sample and rejects each kind of bad row, through Great Expectations on Spark."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from data_contracts.crops import CROPS
from data_contracts.detections import DETECTIONS
from data_contracts.duplicates import DUPLICATES
from data_contracts.features import FEATURES
from data_contracts.images import IMAGES
from data_contracts.raw_images import RAW_IMAGES
from spark_jobs import auditing
from spark_jobs.pipeline import STAGES
from tests.spark_jobs.lake import Lake

DAY = date(2026, 11, 2)
BOX = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.6, "y_max": 1.0}
OBJECT = {"label": "shoe", "score": 0.9, **BOX}
COMPUTED = {"model_version": "0f3a", "computed_by": "avx512/onednn+native"}
EVIDENCE = {"day": DAY, "key": "b", "crop": 0, "distance": 3, "similarity": 0.98}

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
        },
    ),
    "features": (
        FEATURES,
        {
            "crop": 0,
            "code": b"c" * 16,
            "descriptor": b"d" * 256,
            "luminance_hash": b"l" * 32,
            "chroma": b"h" * 128,
            **COMPUTED,
        },
    ),
    "duplicates": (
        DUPLICATES,
        {"crop": 0, "group": "2026-11-02/a", "size": 1, "is_representative": True, "evidence": [EVIDENCE]},
    ),
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
    ("detections", {"reason": "blank"}, "unused_is_empty"),
    ("crops", {"x_max": 0}, "used_has_box"),
    ("crops", {"y_min": None}, "used_has_box"),
    ("crops", {"score": -0.1}, "scores_in_range"),
    ("crops", {"crop": -1}, "crop_is_counted"),
    ("crops", {"source": "guess"}, "used_has_source"),
    ("features", {"code": None}, "code_length"),
    ("features", {"code": b"c" * 15}, "code_length"),
    ("features", {"luminance_hash": b"l" * 8}, "verification_length"),
    ("features", {"model_version": None}, "used_has_model"),
    ("features", {"reason": "truncated"}, "unused_is_empty"),
    ("duplicates", {"group": None}, "used_has_group"),
    ("duplicates", {"size": 2}, "whole_groups"),
    ("duplicates", {"is_representative": False}, "whole_groups"),
    ("duplicates", {"evidence": [{**EVIDENCE, "similarity": 1.5}]}, "evidence_in_range"),
    ("duplicates", {"reason": "blank"}, "unused_is_alone"),
)


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
        expected.setdefault(rule, []).append("/".join(place))
    assert {rule: sorted(samples) for rule, samples in found.items()} == {
        rule: sorted(samples)[:3] for rule, samples in expected.items()
    }


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
def test_a_key_twice_is_found(spark: Any) -> None:
    found = broken(spark, RAW_IMAGES, table_of(RAW_IMAGES, {}, {}, {"key": "row-1"}))
    assert found == {"unique_keys": ["2026-11-02/row-1"]}


def test_every_stage_that_writes_has_its_contract() -> None:
    for stage in STAGES.values():
        if stage.contract is not None:
            module, _, name = stage.contract.partition(":")
            contract = getattr(importlib.import_module(module), name)
            assert contract.dataset == stage.writes
            assert contract.is_partitioned is not stage.all_days


def test_audits_leave_the_image_bytes_alone() -> None:
    for contract, _ in GOOD.values():
        assert "image" not in contract.audited_columns()
