"""What a DAG run says of its jobs: by its params, or through the features that started it. On the DAGs as Airflow loads
them."""

from __future__ import annotations

import pytest

from tests.plugins.airflow_process import answer

ASK = """
import json, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

def event(hour, extra):
    return AssetEventDagRunReferenceResult(
        asset={"name": "features", "uri": "features", "extra": {}}, extra=extra, source_aliases=[], source_task_id=None,
        source_dag_id=None, source_run_id=None, source_map_index=None, timestamp=datetime(2026, 11, 2, hour, tzinfo=UTC))

dags = DagBag("dags").dags
answers = []
for dag_id, task_id, params, events in json.loads(sys.argv[1]):
    dag = dags[dag_id]
    context = {
        "dag": dag, "params": {**dag.params.dump(), **params}, "ti": SimpleNamespace(try_number=1),
        "dag_run": SimpleNamespace(dag_id=dag_id, run_id="r", clear_number=0),
        "triggering_asset_events": TriggeringAssetEventsAccessor.build([event(*said) for said in events]),
    }
    answers.append(dag.get_task(task_id).job_arguments(context, None)[6:])
print(json.dumps(answers))
"""
ASKED = {
    "nothing said": ("image_pipeline", "detect_objects", {}, [], []),
    "params": (
        "image_pipeline",
        "extract_features",
        {"models": "file:///m", "extractor": "mine", "detector": "none"},
        [],
        ["--release", "--models=file:///m", "--extractor=mine"],
    ),
    "a trial, in which every stage writes beside": (
        "image_pipeline",
        "crop_objects",
        {"limit": 5},
        [],
        ["--trial", "--fall-back"],
    ),
    "a flag and numbers": (
        "image_pipeline",
        "crop_objects",
        {"fall_back": False, "margin": 0.1, "crops_per_image": 3},
        [],
        ["--margin=0.1", "--crops-per-image=3", "--no-fall-back"],
    ),
    "features made with the shipped models": ("similar_images", "calibrate_duplicates", {}, [(3, {"options": {}})], []),
    "features made with other models": (
        "similar_images",
        "calibrate_duplicates",
        {},
        [(3, {"options": {"models": "file:///m", "extractor": "mine"}})],
        ["--models=file:///m", "--extractor=mine"],
    ),
    "the newest features, not those that came last": (
        "similar_images",
        "calibrate_duplicates",
        {},
        [(5, {"options": {"models": "file:///new"}}), (4, {"options": {"models": "file:///old", "extractor": "mine"}})],
        ["--models=file:///new"],
    ),
    "params against features": (
        "similar_images",
        "calibrate_duplicates",
        {"models": "file:///by-hand"},
        [(3, {"options": {"models": "file:///m"}})],
        ["--models=file:///by-hand"],
    ),
    "features of before options were kept": ("similar_images", "calibrate_duplicates", {}, [(3, {"rows_out": 1})], []),
    "an event made by hand after the features": (
        "similar_images",
        "calibrate_duplicates",
        {},
        [(3, {"options": {"models": "file:///m"}}), (4, {"from_rest_api": True}), (5, {"options": None})],
        ["--models=file:///m"],
    ),
    "shipped models again after others": (
        "similar_images",
        "calibrate_duplicates",
        {},
        [(3, {"options": {"models": "file:///m"}}), (4, {"options": {}})],
        [],
    ),
    "a job without options": (
        "similar_images",
        "find_duplicates",
        {},
        [(3, {"options": {"models": "file:///m"}})],
        [],
    ),
}

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The arguments of each case's job beyond run, attempt and DAG."""
    asked = [case[:-1] for case in ASKED.values()]
    return dict(zip(ASKED, answer(ASK, tmp_path_factory.mktemp("airflow"), asked), strict=True))


@pytest.mark.parametrize("case", ASKED)
def test_a_job_gets_the_options_of_its_run(answers, case):
    assert answers[case] == ASKED[case][-1]
