"""From crops to features, groups and the index on a real Spark Connect server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcore.interop.artefact import save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.preprocessing import Preprocessing
from dlcore.rng import RNG
from dlcore.search.index import open_index
from dlcore.search.verification import CUES, PRODUCTS, Verifier
from spark_jobs import (
    build_index,
    calibrate_duplicates,
    crop_objects,
    detect_objects,
    extract_features,
    find_duplicates,
    preprocess_images,
    runner,
)
from spark_jobs.catalogue.demo import draw_entry
from spark_jobs.catalogue.planting import plan_catalogue
from spark_jobs.command_line import NoOptions
from spark_jobs.past_runs import newest_report
from spark_jobs.pipeline import EXIT_OK, STAGES
from spark_jobs.runner import Job
from spark_jobs.search import neighbours, query_of_key, sheet_of
from spark_jobs.settings import Settings
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.detect import NO_DETECTOR
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

DAY = "2026-03-01"
COPIES = 3
SKUS = [
    entry for entry in plan_catalogue(22, [date(2026, 3, 1)], 120).entries if not entry.bad and not entry.transform
][:6]


NAMESPACE = "feature_jobs"


@pytest.fixture(scope="module")
def lake(lake: Lake) -> Lake:
    """Tables of these tests' own: groups are of all days, and others publish days with other models."""
    own = {"PIPELINE_NAMESPACE": NAMESPACE, "PIPELINE_INDEX": f"file://{lake.settings.home}/index-of-{NAMESPACE}"}
    environment = {**lake.environment, **own}
    return Lake(Settings.from_environment(environment), environment)


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random extractors whose verifier goes by the whole image's hash."""
    folder: Path = tmp_path_factory.mktemp("models")
    RNG.set_seed(3)
    weights = [0.0] * (len(CUES) + len(PRODUCTS))
    weights[CUES.index("whole")] = -60.0
    metadata = {
        "kind": "deepbit",
        "preprocessing": Preprocessing(32).metadata(),
        "threshold": 0.0,
        "verifier": asdict(Verifier(tuple(weights), 12.0)),
    }
    for name in ("tiny", "other"):
        save_artefact(folder / name, deepbit_small(DeepBitConfig(size=32, planes=(8, 16), blocks=(1, 1))), metadata)
    return folder


def load(job: Job[Any]) -> Any:
    """Each product several times under different keys, and a broken image."""
    rows: list[tuple[Any, ...]] = [(date.fromisoformat(DAY), "broken/0", "ok", bytearray(b"<html>"), 6, {})]
    for entry in SKUS:
        data = bytearray(draw_entry(entry).data)
        rows += [(date.fromisoformat(DAY), f"{entry.sku}/{n}", "ok", data, len(data), {}) for n in range(COPIES)]
    return job.spark.createDataFrame(rows, job.schema)


def run(lake: Lake, name: str, plan: Any, options: type[Any], *arguments: str, attempt: str = "features") -> int:
    day = () if STAGES[name].all_days else ("--day", DAY)
    line = [*day, "--run", attempt, "--remote", lake.remote(), *arguments]
    return runner.execute(name, plan, options, line, lake.settings)


def test_features_groups_and_index_of_a_day(lake: Lake, reader: Any, models: Path) -> None:
    none, tiny = ("--detector", NO_DETECTOR), ("--models", f"file://{models}", "--extractor", "tiny")
    assert run(lake, "read_images", load, NoOptions) == EXIT_OK
    assert run(lake, "preprocess_images", preprocess_images.plan, preprocess_images.Options) == EXIT_OK
    assert run(lake, "detect_objects", detect_objects.plan, detect_objects.Options, *none) == EXIT_OK
    assert run(lake, "crop_objects", crop_objects.plan, crop_objects.Options) == EXIT_OK
    assert run(lake, "extract_features", extract_features.plan, extract_features.Options, *tiny) == EXIT_OK
    first = _rows(reader, "features")
    assert (
        run(lake, "extract_features", extract_features.plan, extract_features.Options, *tiny, attempt="again")
        == EXIT_OK
    )
    assert _rows(reader, "features") == first
    assert len(first) == len(SKUS) * COPIES + 1
    assert_bits_are_counted(lake, [row.code for row in first if row.code is not None])

    other = ("--codes", "next", "--models", f"file://{models}", "--extractor", "other")
    assert run(lake, "extract_features", extract_features.plan, extract_features.Options, *other) == EXIT_OK
    assert _rows(reader, "features") == first
    beside = _rows(reader, "features_next")
    reports = [lake.report(stage, DAY, "features") for stage in ("crop_objects", "extract_features")]
    assert [report["codes"] for report in reports] == [None, "next"]
    assert [(row.key, row.reason) for row in beside] == [(row.key, row.reason) for row in first]
    assert not {row.model_version for row in beside if row.reason == "ok"} & {row.model_version for row in first}

    few = ("--pictures", "12", "--copies", "3")
    assert (
        run(lake, "calibrate_duplicates", calibrate_duplicates.plan, calibrate_duplicates.Options, *tiny, *few)
        == EXIT_OK
    )
    made_by = {row.model_version for row in first if row.reason == "ok"}
    assert made_by == {Calibration.read(lake.settings.index).model_version}
    assert lake.report("calibrate_duplicates", None, "features")["warnings"] == []
    assert run(lake, "find_duplicates", find_duplicates.plan, NoOptions) == EXIT_OK
    groups = {row.key: row for row in _rows(reader, "duplicates")}
    assert groups["broken/0"].group is None
    for entry in SKUS:
        names = {groups[f"{entry.sku}/{n}"].group for n in range(COPIES)}
        assert names == {f"{DAY}/{entry.sku}/0"}

    assert run(lake, "build_index", build_index.plan, build_index.Options) == EXIT_OK
    index = open_index(lake.settings.index)
    query = query_of_key(index, f"{SKUS[0].sku}/0")
    found = neighbours(index, query, COPIES - 1)
    assert {item.key for item in found} == {f"{SKUS[0].sku}/{n}" for n in range(1, COPIES)}
    assert all(item.distance == 0 for item in found)
    assert sheet_of(index, query, found).size[0] > 128 * COPIES

    certain = (*tiny, *few, "--precision", "1")
    assert (
        run(lake, "calibrate_duplicates", calibrate_duplicates.plan, calibrate_duplicates.Options, *certain) == EXIT_OK
    )
    (warning,) = lake.report("calibrate_duplicates", None, "features")["warnings"]
    assert "no threshold reaches its target" in warning and "asked for are 1.0" in warning


def assert_bits_are_counted(lake: Lake, codes: list[bytes]) -> None:
    """The run report has how often each bit is one."""
    bits = np.unpackbits(np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1), axis=1, bitorder="little")
    report = newest_report(lake.settings, "extract_features", DAY)
    assert report is not None
    found = report["extra"]["code_bits"]
    assert (found["count"], found["ones"]) == (len(codes), bits.sum(axis=0).tolist())
    assert found["lowest_share"] == pytest.approx(bits.mean(axis=0).min(), abs=1e-4)


def _rows(reader: Any, dataset: str) -> list[Any]:
    table = f"lake.{NAMESPACE}.{dataset}"
    found: list[Any] = reader.sql(f"SELECT * FROM {table} WHERE day = DATE '{DAY}' ORDER BY key, crop").collect()
    return found
