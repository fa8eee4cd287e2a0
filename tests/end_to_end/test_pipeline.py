"""The whole pipeline on a small catalogue with every class of bad image, on real servers that die in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_contracts.reasons import Reason
from deploy.airflow_rest import FINISHED, Airflow, Task
from deploy.services import up
from deploy.stack import Stack
from deploy.supervision import states
from dlcore.interop.artefact import load_artefact, save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from sample_data.catalogue.bad_images import BAD_IMAGES
from sample_data.catalogue.demo import write_catalogue
from spark_jobs.hbase.manifest import entries_of
from spark_jobs.load_images import load
from spark_jobs.pipeline import EXIT_FAILURE, UNDOING, stages_of
from spark_jobs.stages.calibration import Calibration
from tests.end_to_end.chain import PIPELINE, SIMILAR, Chain, ended
from tests.python_processes import python_workers
from tests.spark_jobs.lake import Lake
from tests.waiting import LIMIT_S, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(7200)]

DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
PER_DAY = 32
TABLE = "end_to_end"
WITHOUT_FILE = "bad-without-file/0"
DATASETS = ("raw_images", "images", "detections", "crops", "features")

Address = tuple[str, str]


@dataclass(frozen=True)
class Catalogue:
    """A generated catalogue: its manifest, and the class of bad image (None: a good one) by day and key."""

    manifest: Path
    bad: dict[Address, str | None]

    def reasons(self) -> dict[Address, str]:
        """The reason that each image must have from preprocessing on."""
        return {
            address: Reason.MISSING_IMAGE
            if address[1] == WITHOUT_FILE
            else BAD_IMAGES[bad].reason
            if bad
            else Reason.OK
            for address, bad in self.bad.items()
        }

    def keys(self, day: str) -> list[str]:
        return sorted(key for at, key in self.bad if at == day)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """About a hundred images of three days; one line of the manifest names a file that is not there."""
    manifest = write_catalogue(
        tmp_path_factory.mktemp("catalogue"), [date.fromisoformat(day) for day in DAYS], per_day=PER_DAY
    )
    with manifest.open("a") as file:
        file.write(json.dumps({"day": DAYS[0], "key": WITHOUT_FILE, "path": "nowhere.jpg"}) + "\n")
    truth = [json.loads(line) for line in manifest.with_name("truth.jsonl").read_text().splitlines()]
    bad = {(line["day"], line["key"]): line["bad"] for line in truth}
    assert set(bad.values()) == {None, *BAD_IMAGES}
    return Catalogue(manifest, bad | {(DAYS[0], WITHOUT_FILE): None})


@pytest.fixture(scope="module")
def pipeline(lake: Lake, hbase: Stack, catalogue: Catalogue) -> Chain:
    """The pipeline with the catalogue in HBase and nothing published yet."""
    chain = Chain.in_namespace(lake, "days_at_once", TABLE)
    report = load(chain.lake.settings, entries_of(catalogue.manifest))
    assert report.rows == len(catalogue.bad)
    assert [key for _, key in report.without_image] == [WITHOUT_FILE]
    return chain


@pytest.fixture(scope="module")
def published(pipeline: Chain) -> Chain:
    """The pipeline after the three days have been run side by side, every day a process, and then the duplicates."""
    pipeline.run_days_at_once("first", DAYS)
    pipeline.run_here(SIMILAR, "first", until="find_duplicates")
    return pipeline


@pytest.fixture(scope="module")
def rest(airflow: Stack) -> Airflow:
    """Airflow with the pipeline's DAG known to it and not paused."""
    rest = Airflow(airflow.airflow_url, airflow.secrets["airflow_password"])
    wait_for(lambda: rest.knows(PIPELINE), pause_s=1.0)
    rest.unpause(PIPELINE)
    return rest


def test_every_row_is_in_every_dataset_with_its_reason(published: Chain, catalogue: Catalogue) -> None:
    expected = catalogue.reasons()
    for dataset in (*DATASETS, "duplicates"):
        rows = published.rows(dataset)
        assert len(rows) == len(expected), dataset
        assert None not in published.ever_readable(dataset)
        found = {(str(row["day"]), row["key"]): row["reason"] for row in rows}
        if dataset == "raw_images":
            known = {Reason.EMPTY, Reason.MISSING_IMAGE}
            assert found == {at: why if why in known else Reason.OK for at, why in expected.items()}
        else:
            assert found == expected, dataset


def test_what_was_mended_carries_its_flags(published: Chain, catalogue: Catalogue) -> None:
    flags = {(str(row["day"]), row["key"]): set(row["flags"] or ()) for row in published.rows("images")}
    for address, bad in catalogue.bad.items():
        assert flags[address] >= (BAD_IMAGES[bad].flags if bad else set()), (address, bad)


def test_days_in_another_order_give_the_same_codes_and_groups(published: Chain) -> None:
    in_turn = Chain.in_namespace(published.lake, "days_in_turn", TABLE)
    for day in (DAYS[2], DAYS[0], DAYS[1]):
        in_turn.run_here(PIPELINE, f"in_turn__{day}", day)
    in_turn.run_here(SIMILAR, "in_turn", until="find_duplicates")
    assert in_turn.rows("features") == published.rows("features")
    groups = in_turn.rows("duplicates")
    assert groups == published.rows("duplicates")
    assert max(row["size"] or 0 for row in groups) > 1


def test_hbase_killed_between_two_runs_of_a_day(published: Chain, hbase: Stack, catalogue: Catalogue) -> None:
    day = DAYS[1]
    before = {dataset: published.rows(dataset, day) for dataset in DATASETS}
    attempts = {dataset: published.ever_readable(dataset) for dataset in DATASETS}
    assert [row["key"] for row in before["features"]] == catalogue.keys(day)
    kill_program(hbase, "hbase")
    assert published.rows("features", day) == before["features"]
    up(hbase, ("thrift",))
    published.run_here(PIPELINE, "after_hbase", day)
    for dataset in DATASETS:
        assert published.rows(dataset, day) == before[dataset], dataset
        assert published.ever_readable(dataset) == [*attempts[dataset], "after_hbase/1"]


def test_a_python_worker_of_spark_killed_at_work(published: Chain, hbase: Stack) -> None:
    before = published.rows("features")
    others = python_workers(hbase)
    job = published.start("extract_features", "worker", DAYS[0])
    os.kill(wait_for(lambda: python_workers(hbase) - others).pop(), signal.SIGKILL)
    assert_only_the_second_attempt_publishes(published, "extract_features", "worker", job)
    assert published.rows("features") == before


def test_the_driver_killed_at_work(published: Chain, connect_server: Stack) -> None:
    before = published.rows("detections")
    others = python_workers(connect_server)
    job = published.start("detect_objects", "driver", DAYS[2])
    wait_for(lambda: python_workers(connect_server) - others)
    kill_program(connect_server, "connect")
    up(connect_server, ("connect",))
    assert_only_the_second_attempt_publishes(published, "detect_objects", "driver", job)
    assert published.rows("detections") == before


def assert_only_the_second_attempt_publishes(chain: Chain, stage: str, run: str, job: subprocess.Popen[str]) -> None:
    """The job's first attempt, something of which was killed, fails and leaves no trace; the second one publishes."""
    code, report = ended(job)
    assert (code, report["status"]) == (EXIT_FAILURE, "failed"), report
    attempts = chain.ever_readable(report["dataset"])
    assert not any(attempt is None or attempt.startswith(f"{run}/") for attempt in attempts)
    assert chain.run(stage, run, report["day"], attempt=2)["status"] == "published"
    assert chain.ever_readable(report["dataset"]) == [*attempts, f"{run}/2"]


def test_a_contract_broken_on_purpose_fails_its_task_once_and_what_came_before_can_be_undone(
    rest: Airflow, pipeline: Chain, lake: Lake, catalogue: Catalogue, tmp_path: Path
) -> None:
    day, name = DAYS[0], "short_codes"
    conf = {"day": day, "table": TABLE, "models": f"file://{with_short_codes(pipeline.models, tmp_path)}"}
    run_airflow(lake.environment, "dags", "trigger", PIPELINE, "--run-id", name, "--conf", json.dumps(conf))
    assert wait_for(lambda: state_of(rest, name), pause_s=1.0) == "failed"
    tasks = {task.name: task for task in rest.tasks(PIPELINE) if task.run == name}
    *good, last = (stage.name for stage in stages_of(PIPELINE))
    assert {name: (task.state, task.attempt) for name, task in tasks.items()} == {
        **dict.fromkeys(good, ("success", 1)),
        last: ("failed", 1),
    }
    used = [f"{day}/{key}/0" for (at, key), reason in catalogue.reasons().items() if at == day and reason == Reason.OK]
    said = "\n".join(rest.log(PIPELINE, tasks[last]))
    for words in ("nothing was published: code_length", f"{len(used)} rows", min(used)):
        assert words in said
    default = Chain(lake)
    assert [row["key"] for row in default.rows("crops", day)] == catalogue.keys(day)
    assert default.rows("features", day) == []
    undo = {"day": day, "dataset": "crops"}
    assert undone(rest, "refused", undo, lake.environment) == "failed"
    (task,) = [task for task in rest.tasks(UNDOING) if task.run == "refused"]
    assert task.attempt == 1 and "allow_empty" in "\n".join(rest.log(UNDOING, task))
    assert undone(rest, "emptied", {**undo, "allow_empty": True}, lake.environment) == "success"
    assert default.rows("crops", day) == [] != default.rows("detections", day)


def undone(rest: Airflow, name: str, conf: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """How a run of the DAG that undoes a day ends."""
    run_airflow(environment, "dags", "trigger", UNDOING, "--run-id", name, "--conf", json.dumps(conf))
    return wait_for(
        lambda: next((run.state for run in rest.runs(UNDOING) if run.name == name and run.state in FINISHED), None),
        pause_s=1.0,
    )


def test_similar_images_look_with_the_models_that_made_the_features(
    rest: Airflow, pipeline: Chain, lake: Lake, tmp_path: Path
) -> None:
    version = as_other_version(pipeline.models, tmp_path)
    models = {"models": f"file://{tmp_path}", "extractor": "other"}
    conf = {"day": DAYS[1], "table": TABLE, "crops_per_image": 2, "margin": 0.2, **models}
    wait_for(lambda: rest.knows(SIMILAR), pause_s=1.0)
    rest.unpause(SIMILAR)
    run_airflow(lake.environment, "dags", "trigger", PIPELINE, "--run-id", "other_models", "--conf", json.dumps(conf))
    assert wait_for(lambda: state_of(rest, "other_models"), pause_s=1.0) == "success"
    similar = wait_for(lambda: [run for run in rest.runs(SIMILAR) if run.state in FINISHED], pause_s=1.0)
    assert [(run.kind, run.state) for run in similar] == [("asset_triggered", "success")]
    default = Chain(lake)
    assert Calibration.read(default.lake.settings.index).model_version == version
    assert {row["crop"] for row in default.rows("duplicates")} == {0, 1}


def test_a_day_of_a_backfill_fails_alone_and_is_repeated_alone(
    rest: Airflow, pipeline: Chain, lake: Lake, catalogue: Catalogue
) -> None:
    good, late = date(2026, 10, 1), date(2026, 10, 2)
    load_on(good, pipeline, catalogue)
    conf = {"table": TABLE, "detector": "none", "codes": "backfilled"}

    def outcome(repeated: str) -> tuple[dict[str, str], set[Task]]:
        number = rest.backfill(PIPELINE, good, late, at_once=2, repeated=repeated, conf=conf)
        wait_for(lambda: rest.is_completed(number), pause_s=1.0)
        states = {run.day: run.state for run in rest.runs(PIPELINE) if run.day in (str(good), str(late))}
        return states, {task for task in rest.tasks(PIPELINE) if str(good) in task.run}

    states, tasks_of_good = outcome("completed")
    assert states == {str(good): "success", str(late): "failed"}
    assert {task.attempt for task in tasks_of_good} == {1}
    codes = Chain(replace(lake, settings=lake.settings.with_codes("backfilled")))
    assert [row["day"] for row in codes.rows("features")] == [good]
    load_on(late, pipeline, catalogue)
    assert outcome("none") == (states, tasks_of_good)
    assert outcome("failed") == ({str(good): "success", str(late): "success"}, tasks_of_good)
    assert [row["day"] for row in codes.rows("features")] == [good, late]
    of_nobody, *published = codes.ever_readable("features")
    assert of_nobody == "table_created/1" and len(published) == 2


def load_on(day: date, chain: Chain, catalogue: Catalogue) -> None:
    """Load one good image of the catalogue into HBase as one of another day."""
    at = next(address for address, bad in catalogue.bad.items() if not bad and address[1] != WITHOUT_FILE)
    entry = next(entry for entry in entries_of(catalogue.manifest) if (str(entry.day), entry.key) == at)
    load(chain.lake.settings, [replace(entry, day=day)])


def test_a_task_on_spark_submit_gives_the_same_codes(rest: Airflow, published: Chain) -> None:
    before = published.rows("features")
    environment = {**published.lake.environment, "PIPELINE_SPARK_CONNECTION": "spark_default"}
    # A scheduler that sees the temporary run would begin its tasks, and Airflow deletes the run at the end.
    run_airflow(environment, "dags", "pause", "--yes", PIPELINE)
    try:
        output = run_airflow(environment, "tasks", "test", PIPELINE, "extract_features", DAYS[0])
    finally:
        rest.unpause(PIPELINE)
    assert "spark-submit" in output
    *_, latest = published.ever_readable("features")
    assert latest is not None
    assert latest.startswith("__airflow_temporary_run"), output[-4000:]
    assert published.rows("features") == before


def state_of(rest: Airflow, name: str) -> str | None:
    """How a run of the pipeline has ended; None before that."""
    return next((run.state for run in rest.runs(PIPELINE) if run.name == name and run.state in FINISHED), None)


def as_other_version(models: Path, folder: Path) -> str:
    """The shipped models in another folder, the extractor under another name and with another version, which is
    returned."""
    shutil.copytree(models / "detector-small", folder / "detector-small")
    shipped = load_artefact(models / "deepbit-small")
    return save_artefact(folder / "other", shipped.model, {**shipped.metadata, "note": "the same weights"})


def with_short_codes(models: Path, folder: Path) -> Path:
    """The shipped detector beside an extractor whose codes have half of the promised bits."""
    shutil.copytree(models / "detector-small", folder / "detector-small")
    shipped = load_artefact(models / "deepbit-small")
    config = DeepBitConfig(size=shipped.metadata["preprocessing"]["size"], bits=64)
    save_artefact(folder / "deepbit-small", deepbit_small(config), shipped.metadata)
    return folder


def run_airflow(environment: Mapping[str, str], *arguments: str) -> str:
    """What a command of Airflow prints."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def kill_program(stack: Stack, name: str) -> None:
    """kill -9; returns when the process is gone."""
    pid = states(stack)[name].pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: states(stack)[name].pid != pid)
