"""A calibration beside one of before, and the sample that stands for a larger catalogue."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dlcore.search.verification import cues
from spark_jobs.calibrate_duplicates import _distances_before, _with_others, population_of, sample_of
from spark_jobs.pictured_rows import named
from spark_jobs.stages.calibration import FILE
from spark_jobs.stages.pairs import step_of
from spark_jobs.stages.signature_rows import SIGNATURES, signatures_of
from tests.spark_jobs.catalogues import CALIBRATION, feature_rows
from tests.spark_jobs.lake import Lake


def job_at(folder: Path) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(index=f"file://{folder}"))


def test_the_distances_of_before_are_those_of_the_same_model(tmp_path: Path) -> None:
    assert _distances_before(job_at(tmp_path), CALIBRATION.model_version) is None
    CALIBRATION.write(f"file://{tmp_path}")
    known = CALIBRATION.code_distance, CALIBRATION.hash_distance
    assert _distances_before(job_at(tmp_path), CALIBRATION.model_version) == known
    assert _distances_before(job_at(tmp_path), "another model") is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"verifier": {"weights": [1], "bias": 0}, "unknown": 1}'])
def test_a_damaged_calibration_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert _distances_before(job_at(tmp_path), "any") is None


@pytest.mark.parametrize("others", [[], [None], ["b", "a"], ["b", "c", "a"]])
def test_each_crop_has_the_next_one_beside_it_and_one_alone_has_none(others: list[str | None]) -> None:
    crops = pa.table({"key": pa.array(["a", "b", "c"][: len(others)], pa.string())})
    assert _with_others(crops).to_pydict() == {"key": crops["key"].to_pylist(), "other_key": others}


@pytest.mark.spark
def test_a_sample_stands_for_a_larger_catalogue(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spark_jobs.calibrate_duplicates.SAMPLE", 20)
    monkeypatch.setattr("spark_jobs.calibrate_duplicates.COUNTED", 15)
    monkeypatch.setattr("spark_jobs.calibrate_duplicates._SPARE", 2)
    spark = lake.connect()
    rows = spark.createDataFrame(feature_rows(np.random.default_rng(3), date(2026, 11, 1), 150))
    pictures = named(rows, 256).where("picture IS NOT NULL").select("picture", *SIGNATURES)
    every = pictures.dropDuplicates(["picture"]).orderBy("picture").toArrow()
    pictures = pictures.unionByName(pictures).repartition(3)  # tasks see copies of the same pictures
    sample, count = sample_of(pictures)
    assert sample.sort_by("picture").equals(every.slice(0, 20).select(sample.column_names))
    assert abs(count - len(every)) <= 0.05 * len(every) and len(every) > 60
    found = population_of(pictures, sample, count).found(CALIBRATION)
    spark.stop()
    i, j = (each.ravel() for each in np.mgrid[:15, 15 : len(every)])
    likely = CALIBRATION.verifier.probability(cues(signatures_of(every), i, j))
    for threshold in (0.8, 0.9, 0.99):
        expected = sum(step_of(p) >= step_of(threshold) for p in likely[likely >= 0.8])
        assert found(threshold) == pytest.approx(expected * count * (count - 1) / 2 / (15 * (count - 15))) and expected


@pytest.mark.spark
def test_a_small_catalogue_is_its_own_sample(lake: Lake) -> None:
    spark = lake.connect()
    rows = spark.createDataFrame(feature_rows(np.random.default_rng(3), date(2026, 11, 1), 30))
    pictures = named(rows, 256).where("picture IS NOT NULL").select("picture", *SIGNATURES)
    sample, count = sample_of(pictures)
    spark.stop()
    assert count == len(sample) == len(set(sample.column("picture").to_pylist()))
    i, j = np.triu_indices(count, 1)
    likely = CALIBRATION.verifier.probability(cues(signatures_of(sample), i, j))
    assert population_of(pictures, sample, count).found(CALIBRATION)(0.9) == (likely >= 0.9).sum() > 0
