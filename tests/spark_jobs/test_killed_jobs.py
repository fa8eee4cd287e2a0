"""Jobs over all days whose driver or worker is killed: nothing readable is half, nothing published is lost, another try
ends right."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.crops import CROPS
from data_contracts.features import FEATURES
from data_contracts.raw_images import RAW_IMAGES
from dlcore.search.index import open_index
from dlcore.search.reuse import MANY
from spark_jobs import build_index, compare_pictures, find_duplicates
from spark_jobs.pipeline import EXIT_OK
from spark_jobs.running import publishing, runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.settings import Settings
from spark_jobs.stages.duplicates import duplicate_rows
from tests.spark_jobs.catalogues import CALIBRATION, feature_rows
from tests.spark_jobs.lake import Lake
from tests.waiting import LIMIT_S

pytestmark = pytest.mark.spark

DAYS = [date(2026, 11, day + 1) for day in range(MANY)]
JOBS = {"compare_pictures": compare_pictures, "find_duplicates": find_duplicates, "build_index": build_index}
KILLED = (
    ("compare_pictures", "worker:compare_pictures.pictured_days.block_batches"),
    ("compare_pictures", "worker:compare_pictures.compared_tiles"),
    ("find_duplicates", "worker:find_duplicates.group_batches"),
    ("build_index", "worker:build_index.segment_parts"),
    ("build_index", "worker:build_index.merged_parts"),
    ("build_index", "driver:build_index.publish_manifest"),
)


@pytest.fixture(scope="module")
def lake(lake: Lake) -> Lake:
    """Tables of these tests' own: groups are of all days."""
    own = {"PIPELINE_NAMESPACE": "killed", "PIPELINE_INDEX": f"file://{lake.settings.home}/index-of-killed"}
    environment = {**lake.environment, **own}
    return Lake(Settings.from_environment(environment), environment)


@pytest.fixture(scope="module")
def reader(lake: Lake) -> Iterator[Any]:
    """A session that writes features and reads what the jobs make of them."""
    spark = lake.connect()
    for contract in (FEATURES, CROPS, RAW_IMAGES):
        publishing.ensure_table(spark, lake.settings.table(contract.dataset), contract)
    CALIBRATION.write(lake.settings.index)
    yield spark
    spark.stop()


def run(lake: Lake, stage: str, name: str, attempt: int) -> None:
    """The job to its end."""
    options, own = getattr(JOBS[stage], "Options", NoOptions), ["--no-thumbnails"] if stage == "build_index" else []
    line = ["--run", name, "--attempt", f"{attempt}", "--remote", lake.remote(), *own]
    assert runner.execute(stage, JOBS[stage].plan, options, line, lake.settings) == EXIT_OK


def readable(lake: Lake, reader: Any) -> tuple[list[Any], list[Any], list[bytes]]:
    """What readers find: pairs, groups, and the codes of the index, every file of which can be read."""
    tables = [reader.table(lake.settings.table(name)).toArrow() for name in ("duplicate_pairs", "duplicates")]
    index = open_index(lake.settings.index)
    index.map_files()
    codes = sorted(segment.codes[n].tobytes() for segment in index.segments for n in range(len(segment)))
    return *(sorted(map(str, table.to_pylist())) for table in tables), codes


def test_killed_jobs_lose_nothing_and_end_right_when_tried_again(lake: Lake, reader: Any, tmp_path: Path) -> None:
    days = {day: feature_rows(np.random.default_rng(day.day), day, 4) for day in DAYS}
    table = lake.settings.table("features")
    reader.createDataFrame(pa.concat_tables(days.values())).writeTo(table).overwritePartitions()
    for stage in JOBS:
        run(lake, stage, "first", 1)
    days[DAYS[-1]] = feature_rows(np.random.default_rng(99), DAYS[-1], 6)
    reader.createDataFrame(days[DAYS[-1]]).writeTo(table).overwritePartitions()
    for stage in JOBS:
        places = [place for killed, place in KILLED if killed == stage]
        for attempt, place in enumerate(places, 1):
            before, marker = readable(lake, reader), tmp_path / f"{place}.died"
            line = ["--run", "second", "--attempt", f"{attempt}", "--remote", lake.remote()]
            own = ["--no-thumbnails"] if stage == "build_index" else []
            job = lake.python("-m", "tests.spark_jobs.killed_job", place, str(marker), *line, *own)
            output = job.communicate(timeout=LIMIT_S)[0]
            assert job.returncode == (-signal.SIGKILL if place.startswith("driver") else 1), output
            assert marker.exists() or place.startswith("driver")
            assert readable(lake, reader) == before
        run(lake, stage, "second", len(places) + 1)
    rows = pa.concat_tables(days.values())
    _, groups, codes = readable(lake, reader)
    assert groups == sorted(map(str, duplicate_rows(rows, CALIBRATION).to_pylist()))
    assert codes == sorted(code for code in rows.column("code").to_pylist() if code)
    assert not list(Path(lake.settings.index.removeprefix("file://")).glob(".pictures-*"))
