"""The DAG files as Airflow reads them: they load, they follow the stage table, they import nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
print(json.dumps([bag.import_errors, {name: sorted(dag.task_ids) for name, dag in bag.dags.items()},
                  {name: type(dag.timetable).__name__ for name, dag in bag.dags.items()},
                  {name: sorted(dag.params) for name, dag in bag.dags.items()}]))
"""
LIST_TRIES = """
import json
from airflow.dag_processing.dagbag import DagBag
def seconds(delay):
    return delay and delay.total_seconds()
print(json.dumps({name: [
    [task.retries, seconds(task.retry_delay), bool(task.retry_exponential_backoff), seconds(task.max_retry_delay),
     getattr(task.weight_rule, "value", type(task.weight_rule).__name__), [callback.__name__ for callback in task.on_failure_callback]]
    for task in dag.tasks] for name, dag in DagBag("dags").dags.items()}))
"""
NEWS = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from dlcore_airflow.operators import StageOperator
from spark_jobs.files import write_whole
from spark_jobs.pipeline import report_uri
from sqlalchemy import select

def write_report(operator, arguments, context, run):
    write_whole(report_uri(os.environ["PIPELINE_REPORTS"], operator.stage.name, "2026-11-02", run), "{}")

StageOperator._run = write_report
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
RUNS = {
    "a daily one": ("image_pipeline", None, "", [{}]),
    "with codes of its own": ("image_pipeline", "v2", "", []),
    "with codes of its own that are in use": ("image_pipeline", "v2", "v2", [{"codes": "v2"}]),
    "of other codes": ("feature_extraction", "v2", "", []),
}
"""DAG, codes asked for, codes in use, and the options that go with what is said of new features."""

TRIED_THRICE = [2, 20, True, 120]
TRIES = {
    "image_pipeline": [*TRIED_THRICE, "DailyRunFirst"],
    "feature_extraction": [*TRIED_THRICE, "DailyRunFirst"],
    "similar_images": [*TRIED_THRICE, "downstream"],
    "housekeeping": [1, 300, False, None, "downstream"],
    "model_training": [0, 300, False, None, "downstream"],
}
"""By DAG: retries, seconds before the first and at most, and which task goes first; without an order of its own, Airflow's."""

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def airflow_environment(tmp_path_factory):
    """Environment of an Airflow with an empty database of its own."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
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
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return (done.stdout.strip().splitlines() or [""])[-1]


@pytest.mark.parametrize(
    ("schedule", "timetable"), [("daily", "CronDataIntervalTimetable"), ("off", "OnRequestTimetable")]
)
def test_every_dag_loads_and_follows_the_stage_table_its_form_too(airflow_environment, schedule, timetable):
    from spark_jobs.pipeline import STAGES, stages_of

    errors, tasks, timetables, params = json.loads(
        run(["-c", LIST], {**airflow_environment, "PIPELINE_SCHEDULE": schedule})
    )
    assert errors == {}
    expected = {}
    for stage in STAGES.values():
        expected.setdefault(stage.dag, []).append(stage.name)
    expected["feature_extraction"] = ["extract_features"]
    assert tasks == {name: sorted(stages) for name, stages in expected.items()}
    assert timetables["image_pipeline"] == timetables["housekeeping"] == timetable
    assert timetables["feature_extraction"] == "OnRequestTimetable"
    options = {
        stage.dag: {option for each in stages_of(stage.dag) for option in each.options} for stage in STAGES.values()
    }
    options["feature_extraction"] = set(STAGES["extract_features"].options) | {"day"}
    of_every_job = {"image_pipeline": {"day", "allow_empty"}}
    assert params == {name: sorted(options[name] | of_every_job.get(name, set())) for name in options}


def test_every_task_is_tried_as_often_as_is_of_use_and_its_failure_is_told(airflow_environment):
    once_more = {**airflow_environment, "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1"}
    found = json.loads(run(["-c", LIST_TRIES], once_more))
    assert {name: tasks[0] for name, tasks in found.items()} == {
        name: [*tries, ["stage_failed"]] for name, tries in TRIES.items()
    }
    assert all(task == tasks[0] for tasks in found.values() for task in tasks)


def test_only_features_of_the_codes_in_use_are_news(airflow_environment, tmp_path):
    environment = {**airflow_environment, "PIPELINE_REPORTS": f"file://{tmp_path}"}
    found = json.loads(run(["-c", NEWS, json.dumps([asked[:-1] for asked in RUNS.values()])], environment))
    assert dict(zip(RUNS, found, strict=True)) == {name: ["success", asked[-1]] for name, asked in RUNS.items()}


def test_parsing_dag_files_imports_nothing_heavy(airflow_environment):
    files = sorted(str(path) for path in (PROJECT / "dags").glob("*.py"))
    imported = run(["-c", PARSE, *files], airflow_environment)
    assert "dlcore_airflow" in imported
    assert [name for name in HEAVY if f"'{name}'" in imported] == []
