"""From raw images to crops on a real Spark Connect server: every row goes through, with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from data_contracts.reasons import Reason
from dlcore.interop.artefact import save_artefact
from dlcore.models.ssd import ssd
from dlcore.rng import RNG
from sample_data.catalogue.demo import draw_entry
from sample_data.catalogue.planting import plan_catalogue
from spark_jobs import crop_objects, detect_objects, preprocess_images
from spark_jobs.pipeline import EXIT_OK
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.runner import Job
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.training.detector_recipe import Recipe, settings_of
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

ROWS = 40
DAY = "2026-02-01"


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


def load(day: str) -> Any:
    """A plan that gives some good and some bad images of a generated catalogue as the rows of a day."""
    entries = plan_catalogue(21, [date.fromisoformat(day)], 120).entries[:ROWS]

    def plan(job: Job[Any]) -> Any:
        rows: list[tuple[Any, ...]] = []
        for entry in entries:
            data = bytearray(draw_entry(entry).data)
            reason = Reason.OK if data else Reason.EMPTY
            rows.append((date.fromisoformat(day), entry.key, reason.value, data, len(data), {}))
        return job.spark.createDataFrame(rows, job.schema)

    return plan


def run(lake: Lake, name: str, plan: Any, options: type[Any], *arguments: str) -> int:
    """Run a job of the day as a new run of its own."""
    line = ["--day", DAY, "--run", f"objects-{uuid4()}", "--remote", lake.remote(), *arguments]
    return runner.execute(name, plan, options, line, lake.settings)


@pytest.fixture(scope="module")
def day(lake: Lake) -> str:
    """A day whose raw images and images are published."""
    assert run(lake, "read_images", load(DAY), NoOptions) == EXIT_OK
    assert run(lake, "preprocess_images", preprocess_images.plan, preprocess_images.Options) == EXIT_OK
    return DAY


def test_objects_and_crops_of_a_day(lake: Lake, reader: Any, day: str, tmp_path: Path) -> None:
    recipe = Recipe(steps=1, size=64, width=8)
    RNG.set_seed(5)
    version = save_artefact(tmp_path / "random", ssd(recipe.config), settings_of(recipe, 0.2).metadata())
    wanted = ("--models", f"file://{tmp_path}", "--detector", "random")
    assert run(lake, "detect_objects", detect_objects.plan, detect_objects.Options, *wanted) == EXIT_OK
    assert run(lake, "crop_objects", crop_objects.plan, crop_objects.Options, "--crops-per-image", "3") == EXIT_OK

    found = {row.key: row for row in _rows(reader, "detections", day)}
    crops = _rows(reader, "crops", day)
    assert len(found) == ROWS and {row.key for row in crops} == set(found)
    assert Counter(row.reason for row in found.values())["ok"] < ROWS
    for row in found.values():
        assert (row.model_version == version) == (row.reason == "ok")
    most = Counter(row.key for row in crops)
    assert all(
        most[key] == max(1, min(3, len(row.objects)))
        for key, row in found.items()
        if row.reason != "ok" or not row.objects
    )
    assert all((row.image is not None) == (row.reason == "ok") for row in crops)


def test_without_a_detector_crops_are_whole_images(lake: Lake, reader: Any, day: str) -> None:
    none = ("--detector", NO_DETECTOR)
    assert run(lake, "detect_objects", detect_objects.plan, detect_objects.Options, *none) == EXIT_OK
    assert run(lake, "crop_objects", crop_objects.plan, crop_objects.Options) == EXIT_OK
    crops = _rows(reader, "crops", day)
    assert len(crops) == ROWS
    assert {row.source for row in crops if row.reason == "ok"} == {"whole_image"}


def _rows(reader: Any, dataset: str, day: str) -> list[Any]:
    found: list[Any] = reader.sql(f"SELECT * FROM lake.pipeline.{dataset} WHERE day = DATE '{day}'").collect()
    return found
