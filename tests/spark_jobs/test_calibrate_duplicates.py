"""A calibration beside one of before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from spark_jobs.calibrate_duplicates import _distances_before, _with_others
from spark_jobs.stages.calibration import FILE
from tests.spark_jobs.catalogues import CALIBRATION


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
