"""Datasets of two runs of a day are not read as one, nor published beside one another. On a real lake, with stages of
SQL alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from spark_jobs import pipeline
from spark_jobs.pipeline import EXIT_FAILURE, EXIT_OK
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.publishing import current_snapshot
from spark_jobs.settings import Settings
from tests.spark_jobs import small_job
from tests.spark_jobs.lake import Lake
from tests.spark_jobs.running.test_runner import checked_images, during

pytestmark = pytest.mark.spark

DAY, OTHER = "2026-05-01", "2026-05-02"
IMAGES, DETECTIONS = "lake.lineage.images", "lake.lineage.detections"
NOTHING = {"reason": "'no_object'", "crop": "0", "objects": "array()", "guesses": "array()"}


@pytest.fixture(scope="module")
def lake(lake: Lake) -> Lake:
    """Tables of these tests' own: duplicates are of all days."""
    environment = {**lake.environment, "PIPELINE_NAMESPACE": NAMESPACE}
    return Lake(Settings.from_environment(environment), environment)


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


def nothing_found(job: runner.Job[NoOptions]) -> Any:
    """A row that is not used for each row of the stage's first input."""
    rows = job.read(job.stage.reads[0])
    given = [name for name in ("day", "key", "crop") if name in rows.columns]
    made_up = [
        f"CAST({NOTHING.get(field.name, 'NULL')} AS {field.dataType.simpleString()}) AS {field.name}"
        for field in job.schema
        if field.name not in given
    ]
    return rows.selectExpr(*given, *made_up)


def each_alone(job: runner.Job[NoOptions]) -> Any:
    """A picture of its own for each row of the features."""
    made_up = {
        "reason": "'ok'",
        "picture": "key",
        "copies": "1L",
        "verifier": "'none'",
        "within_code": "0",
        "within_whole": "0",
    }
    columns = [
        f"CAST({made_up.get(field.name, 'NULL')} AS {field.dataType.simpleString()}) AS {field.name}"
        for field in job.schema
        if field.name not in ("day", "key", "crop")
    ]
    return job.read("features").selectExpr("day", "key", "crop", *columns)


STAGES = {
    "read_images": (small_job.plan, small_job.Options),
    "preprocess_images": (checked_images, small_job.Options),
    "detect_objects": (nothing_found, NoOptions),
    "crop_objects": (nothing_found, NoOptions),
    "extract_features": (nothing_found, NoOptions),
    "compare_pictures": (each_alone, NoOptions),
    "find_duplicates": (nothing_found, NoOptions),
    "build_index": (lambda job: None, NoOptions),
}
DAILY = tuple(STAGES)[:4]
NAMESPACE = "lineage"


def run(lake: Lake, stage: str) -> tuple[int, dict[str, Any]]:
    """A stage as a new run; its exit code and its run report."""
    plan, options = STAGES[stage]
    name, day = f"{stage}-{uuid4()}", None if pipeline.STAGES[stage].all_days else DAY
    line = [*(("--day", day) if day else ()), "--run", name, "--remote", lake.remote()]
    return runner.execute(stage, plan, options, line, lake.settings), lake.report(stage, day, name)


@pytest.fixture(scope="module", autouse=True)
def published(lake: Lake) -> None:
    """A day from its raw images to its crops."""
    for stage in DAILY:
        assert run(lake, stage)[0] == EXIT_OK


def test_detections_of_other_images_are_not_cropped(lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(lake, "preprocess_images")[0] == EXIT_OK
    code, report = run(lake, "crop_objects")
    assert code == EXIT_FAILURE
    assert f"detections of day {DAY} were made from images of snapshot" in report["error"]
    assert "run the stage that writes detections again first" in report["error"]

    during(monkeypatch, lambda: replay(reader))
    assert run(lake, "detect_objects")[0] == EXIT_OK
    compact = f"CALL lake.system.rewrite_data_files(table => '{IMAGES}', options => map('rewrite-all', 'true'))"
    reader.sql(compact).collect()
    assert run(lake, "crop_objects")[0] == EXIT_OK


def replay(reader: Any) -> None:
    """Publish another day, so that what is staged meanwhile is published by a new snapshot."""
    reader.sql(
        f"INSERT INTO {DETECTIONS} SELECT DATE '{OTHER}', * EXCEPT (day) FROM {DETECTIONS} WHERE day = DATE '{DAY}'"
    )


def test_nothing_is_published_of_rows_that_were_replaced_meanwhile(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, lambda: publish_again(reader, IMAGES))
    code, report = run(lake, "detect_objects")
    assert (code, report["snapshot"]) == (EXIT_FAILURE, None)
    assert f"{IMAGES}: day {DAY} was read as of snapshot" in report["error"]

    publish_again(reader, DETECTIONS)
    assert run(lake, "crop_objects")[0] == EXIT_OK, "what says nothing of its inputs is taken as it is"


def publish_again(reader: Any, table: str) -> None:
    """The rows of the day once more, as jobs of before lineage was kept published them."""
    reader.table(table).where(f"day = DATE '{DAY}'").writeTo(table).overwritePartitions()


def test_an_index_is_of_the_features_that_its_duplicates_are_of(lake: Lake) -> None:
    features = run(lake, "extract_features")[1]["snapshot"]
    pairs = run(lake, "compare_pictures")[1]["snapshot"]
    newer = run(lake, "extract_features")[1]["snapshot"]
    inputs = run(lake, "find_duplicates")[1]["inputs"]
    assert {name: inputs[name] for name in ("features", "duplicate_pairs")} == {
        "features": features,
        "duplicate_pairs": pairs,
    }
    code, report = run(lake, "build_index")
    assert (code, report["inputs"]["features"]) == (EXIT_OK, features)
    assert newer not in (None, features)


def test_of_two_runs_over_all_days_at_once_the_slower_publishes_nothing(
    lake: Lake, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("extract_features", "compare_pictures", "find_duplicates"):
        assert run(lake, stage)[0] == EXIT_OK
    table, others = lake.settings.table("duplicates"), []

    def overtake() -> None:
        with ThreadPoolExecutor(1) as thread:  # sessions are of threads
            others.append(thread.submit(run, lake, "find_duplicates").result())

    during(monkeypatch, overtake)
    code, report = run(lake, "find_duplicates")
    ((other_code, other),) = others
    assert (code, other_code) == (EXIT_FAILURE, EXIT_OK)
    assert f"another run has published snapshot {other['snapshot']} since this one began" in report["error"]
    assert current_snapshot(reader, table) == other["snapshot"]
    compact = f"CALL lake.system.rewrite_data_files(table => '{table}', options => map('rewrite-all', 'true'))"
    during(monkeypatch, lambda: reader.sql(compact).collect())
    assert run(lake, "find_duplicates")[0] == EXIT_OK, "a compaction is no other run"
