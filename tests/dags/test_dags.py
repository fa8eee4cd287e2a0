"""The DAG files as Airflow reads them: they load, they follow the stage table, they import nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.waiting import LIMIT_S

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "pandas", "pyarrow", "pyspark", "great_expectations", "dlcore")
PARSE = """
import importlib.util, sys
import airflow.sdk
before = set(sys.modules)
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("dag_file", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
LIST = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
def seconds(delay):
    return delay and delay.total_seconds()
tries = {name: [
    [task.retries, seconds(task.execution_timeout),
     seconds(task.retry_delay), bool(task.retry_exponential_backoff), seconds(task.max_retry_delay),
     getattr(task.weight_rule, "value", type(task.weight_rule).__name__), [callback.__name__ for callback in task.on_failure_callback]]
    for task in dag.tasks] for name, dag in bag.dags.items()}
print(json.dumps([bag.import_errors, {name: sorted(dag.task_ids) for name, dag in bag.dags.items()},
                  {name: type(dag.timetable).__name__ for name, dag in bag.dags.items()},
                  {name: sorted(dag.params) for name, dag in bag.dags.items()},
                  bag.dags["image_pipeline"].params.get_param("detector").schema["examples"], tries]))
"""
STORE = """
import json
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from sqlalchemy import select
DagBundlesManager().sync_bundles_to_db()
sync_bag_to_db(DagBag("dags"), "dags-folder", None)
with create_session() as session:
    rows = session.execute(select(SerializedDagModel.dag_id, SerializedDagModel.dag_hash))
    print(json.dumps({dag: stored for dag, stored in rows}))
"""
NEWS = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from dlcore_airflow.operators import StageOperator
from dlcore.stored_file import write_whole
from spark_jobs.pipeline import report_uri
from sqlalchemy import select

def write_report(operator, arguments, context, run):
    write_whole(report_uri(os.environ["PIPELINE_REPORTS"], operator.stage.name, "2026-11-02", run), "{}")

StageOperator.run_job = write_report
dags, answers = DagBag("dags").dags, []
for dag_id, codes, in_use in json.loads(sys.argv[1]):
    os.environ["PIPELINE_CODES"] = in_use
    dags[dag_id].deadline = None  # what tests a DAG does not take one
    others = "(?!extract_features).+"
    run = dags[dag_id].test(run_conf={"day": "2026-11-02", "codes": codes}, mark_success_pattern=others)
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
        news = [event.extra.get("options") for event in events if event.asset.name == "features"]
    answers.append([str(run.state), news])
print(json.dumps(answers))
"""
TRAININGS = """
import json, os
from airflow.dag_processing.dagbag import DagBag
from dlcore_airflow.operators import StageOperator
from dlcore.stored_file import write_whole
from spark_jobs.pipeline import report_uri

def ran(operator, arguments, context, run):
    told.append([operator.stage.name, [each for each in arguments if each.startswith("--config")]])
    write_whole(report_uri(os.environ["PIPELINE_REPORTS"], operator.stage.name, None, run), "{}")

StageOperator.run_job = ran
dag, answers = DagBag("dags").dags["model_training"], []
dag.deadline = None
for conf in ({}, {"config": "/srv/train.toml"}):
    told = []
    run = dag.test(run_conf=conf)
    answers.append([str(run.state), told])
print(json.dumps(answers))
"""
SCHEDULING = """
import json
from airflow.assets.manager import AssetManager
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.asset import AssetModel
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select, update
import pendulum
DagBundlesManager().sync_bundles_to_db()
sync_bag_to_db(DagBag("dags"), "dags-folder", None)
with create_session() as session:
    session.execute(update(DagModel).where(DagModel.dag_id == "similar_images").values(is_paused=False))
    job = Job()
    session.add(job)
    session.flush()
    session.expunge(job)
scheduler = SchedulerJobRunner(job=job)

def announce(days):
    for day in days:  # each by a task of its own
        with create_session() as session:
            asset = session.scalar(select(AssetModel).where(AssetModel.name == "features"))
            AssetManager().register_asset_change(asset=asset, extra={"day": day}, session=session)

def schedule():
    with create_session() as session:
        with prohibit_commit(session) as guard:
            scheduler._create_dagruns_for_dags(guard, session)
        with prohibit_commit(session) as guard:
            scheduler._start_queued_dagruns(session)
            guard.commit()
    with create_session() as session:
        runs = session.scalars(select(DagRun).where(DagRun.dag_id == "similar_images").order_by(DagRun.id)).all()
        states.append([[str(run.state), sorted(event.extra["day"] for event in run.consumed_asset_events)] for run in runs[before:]])
    return len(runs)

def end_those_that_run():
    with create_session() as session:
        running = update(DagRun).where(DagRun.dag_id == "similar_images", DagRun.state == DagRunState.RUNNING)
        session.execute(running.values(state=DagRunState.SUCCESS))

def trigger_by_hand():
    with create_session() as session:
        dag = SerializedDagModel.get_dag("similar_images", session=session)
        dag.create_dagrun(run_id="by_hand", logical_date=None, data_interval=None, run_after=pendulum.now("UTC"),
            run_type=DagRunType.MANUAL, triggered_by=DagRunTriggeredByType.TEST, state=DagRunState.QUEUED, session=session)

states, before = [], 10**6
announce(["00"])
before = schedule()  # this run also takes the events that other tests have left
end_those_that_run()
states.clear()
announce(["01"])
schedule()
for day in ("02", "03", "04"):
    announce([day])
    schedule()
trigger_by_hand()
schedule()
for _ in range(3):
    end_those_that_run()
    schedule()
print(json.dumps(states))
"""
RUNS = {
    "a daily one": ("image_pipeline", None, "", [{}]),
    "with codes of its own": ("image_pipeline", "v2", "", []),
    "with codes of its own that are in use": ("image_pipeline", "v2", "v2", [{"codes": "v2"}]),
    "of other codes": ("feature_extraction", "v2", "", []),
}
"""DAG, codes asked for, codes in use, and the options that go with what is said of new features."""

DAY_S = 24 * 3600
ONCE_MORE = {"AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1"}
TRIED_THRICE = [2, DAY_S, 20, True, 120]
TRIES = {
    "image_pipeline": [*TRIED_THRICE, "DailyRunFirst"],
    "feature_extraction": [*TRIED_THRICE, "DailyRunFirst"],
    "similar_images": [*TRIED_THRICE, "downstream"],
    "housekeeping": [1, DAY_S, 300, False, None, "downstream"],
    "day_check": [1, DAY_S, 300, False, None, "downstream"],
    "model_training": [0, DAY_S, 300, False, None, "downstream"],
    "restore_day": [0, DAY_S, 300, False, None, "downstream"],
}
"""By DAG: retries, seconds of an attempt, seconds before the first and at most, and which task goes first.

Without an order of its own, Airflow's."""

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def airflow_environment(tmp_path_factory, postgres):
    """Environment of an Airflow with an empty database of its own."""
    home = tmp_path_factory.mktemp("airflow")
    with closing(psycopg2.connect(postgres.database_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE dags")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"{postgres.database_url.rpartition('/')[0]}/dags",
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}",
    }
    run(["-m", "airflow", "db", "migrate"], environment)
    return environment


def run(arguments, environment):
    """The last line a Python process prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return (done.stdout.strip().splitlines() or [""])[-1]


@pytest.mark.parametrize(("schedule", "timetable"), [("daily", "DailyTimetable"), ("off", "OnRequestTimetable")])
def test_every_dag_loads_and_follows_the_stage_table_its_form_too(airflow_environment, schedule, timetable):
    from spark_jobs.pipeline import STAGES, TAKE_DOWN, UNDOING, stages_of

    errors, tasks, timetables, params, detectors, tries = json.loads(
        run(["-c", LIST], {**airflow_environment, **ONCE_MORE, "PIPELINE_SCHEDULE": schedule})
    )
    assert errors == {}
    assert detectors == ["none", "deepbit-lite0", "deepbit-small", "detector-small"]
    expected = {}
    for stage in STAGES.values():
        expected.setdefault(stage.dag, []).append(stage.name)
    assert expected.pop(TAKE_DOWN) == ["withdraw"], "what people run by hand has no DAG"
    expected |= {"feature_extraction": ["extract_features"], UNDOING: [UNDOING]}
    assert tasks == {name: sorted(stages) for name, stages in expected.items()}
    assert timetables["image_pipeline"] == timetables["housekeeping"] == timetable
    assert timetables["feature_extraction"] == "OnRequestTimetable"
    options = {
        stage.dag: {option for each in stages_of(stage.dag) for option in each.options}
        for stage in STAGES.values()
        if stage.dag in expected
    }
    options["feature_extraction"] = set(STAGES["extract_features"].options) | {"day"}
    options[UNDOING] = {"day", "run", "dataset"}
    of_every_job = {"image_pipeline": {"day", "allow_empty"}, UNDOING: {"allow_empty"}}
    assert params == {name: sorted(options[name] | of_every_job.get(name, set())) for name in options}
    assert_every_task_is_tried_as_often_as_is_of_use_and_its_failure_is_told(tries)


def assert_every_task_is_tried_as_often_as_is_of_use_and_its_failure_is_told(found):
    assert {name: tasks[0] for name, tasks in found.items()} == {
        name: [*tries, ["stage_failed"]] for name, tries in TRIES.items()
    }
    assert all(task == tasks[0] for tasks in found.values() for task in tasks)


def test_what_has_not_changed_is_no_new_version(airflow_environment):
    at_once = {**airflow_environment, "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0"}
    first, again = (json.loads(run(["-c", STORE], at_once)) for _ in range(2))
    assert len(first) == len(TRIES) and again == first


def test_only_features_of_the_codes_in_use_are_news(airflow_environment, tmp_path):
    environment = {**airflow_environment, "PIPELINE_REPORTS": f"file://{tmp_path}"}
    found = json.loads(run(["-c", NEWS, json.dumps([asked[:-1] for asked in RUNS.values()])], environment))
    assert dict(zip(RUNS, found, strict=True)) == {name: ["success", asked[-1]] for name, asked in RUNS.items()}


def test_a_run_with_a_config_trains_what_it_says_and_nothing_else(airflow_environment, tmp_path):
    environment = {**airflow_environment, "PIPELINE_REPORTS": f"file://{tmp_path}"}
    usual, other = json.loads(run(["-c", TRAININGS], environment))
    assert usual == ["success", [["train_detector", []], ["train_features", []], ["evaluate_models", []]]]
    assert other == ["success", [["train_model", ["--config=/srv/train.toml"]]]]


def test_features_of_many_days_start_one_run_and_no_two_runs_work_at_once(airflow_environment):
    first, *during, by_hand, after, last, at_the_end = json.loads(run(["-c", SCHEDULING], airflow_environment))
    assert first == [["running", ["01"]]]
    assert during == [first] * 3, "while a run is under way the features of other days wait"
    assert by_hand == [*first, ["queued", []]], "and so does a run by hand"
    assert after == [["success", ["01"]], ["running", []]]
    assert [state for state, _ in last] == ["success", "success", "running"], "one run for three days"
    assert [state for state, _ in at_the_end] == ["success"] * 3, "and none after it"


def test_parsing_dag_files_imports_nothing_heavy(airflow_environment):
    files = sorted(str(path) for path in (PROJECT / "dags").glob("*.py"))
    imported = run(["-c", PARSE, *files], airflow_environment)
    assert "dlcore_airflow" in imported
    assert [name for name in HEAVY if f"'{name}'" in imported] == []
