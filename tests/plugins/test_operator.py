"""The operator and the alarm without a server: what they say when nothing answers, or an attempt before has left a
report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.services import free_offset
from spark_jobs.pipeline import report_uri
from tests.plugins.airflow_process import answer

EXECUTE = """
import json, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
dag = DagBag("dags").dags["image_pipeline"]
ti = SimpleNamespace(try_number=json.loads(sys.argv[1]), xcom_push=lambda key, value: None)
day = datetime(2026, 11, 2, tzinfo=UTC)
run = SimpleNamespace(dag_id="image_pipeline", run_id="r", clear_number=0, logical_date=day, run_after=day)
try:
    dag.get_task("read_images").execute({"dag": dag, "params": dag.params.dump(), "ti": ti, "dag_run": run})
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""

MISTAKEN = """
import json, sys
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
dag, said = DagBag("dags").dags["day_check"], []
ti = SimpleNamespace(try_number=1, xcom_push=lambda key, value: None)
for number, params in enumerate(json.loads(sys.argv[1])):
    run = SimpleNamespace(dag_id="day_check", run_id=f"r{number}", clear_number=0)
    try:
        dag.get_task("check_days").execute({"dag": dag, "params": params, "ti": ti, "dag_run": run})
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
print(json.dumps(said))
"""

LINK = """
import json, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
dag = DagBag("dags").dags["image_pipeline"]
task, pushed = dag.get_task("read_images"), []
ti = SimpleNamespace(try_number=1, xcom_push=lambda key, value: pushed.append(value))
day = datetime(2026, 11, 2, tzinfo=UTC)
run = SimpleNamespace(dag_id="image_pipeline", run_id="r", clear_number=0, logical_date=day, run_after=day)
(link,) = task.operator_extra_links
before = link.get_link(operator=task, ti_key=ti)
try:
    task.execute({"dag": dag, "params": dag.params.dump(), "ti": ti, "dag_run": run})
except Exception:
    pass
print(json.dumps([before, link.get_link(operator=task, ti_key=ti), *pushed]))
"""

ALARM = """
import json, logging, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from dlcore_airflow import alerts
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
alerts.logger.addHandler(handler)
day = datetime(2026, 11, 2, tzinfo=UTC)
run = SimpleNamespace(dag_id="image_pipeline", run_id="r", clear_number=0, logical_date=day, run_after=day)
for attempt in json.loads(sys.argv[1]):
    task = SimpleNamespace(dag_id="image_pipeline", task_id="read_images", try_number=attempt)
    alerts.stage_failed({"ti": task, "dag_run": run, "params": {}, "exception": RuntimeError("nothing answers")})
print(json.dumps(said))
"""

pytestmark = pytest.mark.airflow


@pytest.fixture
def environment(tmp_path):
    """A connection to a port at which nothing listens, and a folder of reports."""
    port = 15002 + free_offset()
    return {
        "AIRFLOW_CONN_SPARK_CONNECT": json.dumps({"conn_type": "spark_connect", "host": "127.0.0.1", "port": port}),
        "PIPELINE_REPORTS": f"file://{tmp_path}/reports",
    }


def test_a_server_that_does_not_answer_is_named_whatever_an_earlier_attempt_reported(environment, tmp_path):
    path = Path(report_uri(environment["PIPELINE_REPORTS"], "read_images", "2026-11-02", "r").removeprefix("file://"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"attempt": 1, "status": "failed", "error": "the table is missing"}))
    assert answer(EXECUTE, tmp_path, 1, **environment) == "AirflowException: read_images: the table is missing"
    now = answer(EXECUTE, tmp_path, 2, **environment)
    assert now.startswith("AirflowException: connection 'spark_connect': nothing answers at 127.0.0.1:")


def test_a_table_without_any_image_skips_the_run(environment, tmp_path):
    path = Path(report_uri(environment["PIPELINE_REPORTS"], "read_images", "2026-11-02", "r").removeprefix("file://"))
    path.parent.mkdir(parents=True)
    said = "no image of any day yet; load some: python -m spark_jobs.load_images"
    path.write_text(json.dumps({"attempt": 1, "status": "nothing_yet", "error": said}))
    assert answer(EXECUTE, tmp_path, 1, **environment) == f"AirflowSkipException: read_images: {said}"


def test_a_mistake_is_not_tried_again_and_is_the_message(environment, tmp_path):
    unknown, of_no_kind = answer(MISTAKEN, tmp_path, [{"late_dayz": 3}, {"late_days": "many"}], **environment)
    assert unknown == "AirflowFailException: check_days: got the param 'late_dayz', did you mean late_days?"
    assert of_no_kind == "AirflowFailException: check_days ended with exit code 2"


def test_the_link_of_a_finished_task_is_that_of_its_run(environment, tmp_path):
    before, after, pushed = answer(LINK, tmp_path, 1, **environment)
    assert before == "/pipeline/"
    assert after == pushed == "/pipeline/report?stage=read_images&day=2026-11-02&run=r"


def test_an_alarm_is_sent_whatever_an_earlier_attempt_reported_or_a_killed_one_left(environment, tmp_path):
    path = Path(report_uri(environment["PIPELINE_REPORTS"], "read_images", "2026-11-02", "r").removeprefix("file://"))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"attempt": 2, "broken": [{"rule": "key is unique", "rows": 3}]}))
    place = "image_pipeline: stage read_images failed in run r, day 2026-11-02"
    by_itself, of_another = answer(ALARM, tmp_path, [2, 3], **environment)
    assert by_itself == f"{place}: broken rules key is unique (3 rows)"
    assert of_another == f"{place}: nothing answers"
    path.write_text("")
    assert answer(ALARM, tmp_path, [2], **environment) == [f"{place}: nothing answers"]
    unreachable = {**environment, "PIPELINE_REPORTS": "no-such-store://reports"}
    assert answer(ALARM, tmp_path, [2], **unreachable) == [f"{place}: nothing answers"]


SUBMITTED = """
import json, sys
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
dag = DagBag("dags").dags["image_pipeline"]
SparkSubmitHook.submit = lambda hook, application: print(json.dumps(hook._build_spark_submit_command(application)))
context = {"dag": dag, "params": dag.params.dump(), "ti": SimpleNamespace(try_number=1)}
dag.get_task(json.loads(sys.argv[1])).run_job(["--run", "r"], context, "r")
"""


def test_a_driver_on_a_cluster_gets_the_settings_but_no_secret(tmp_path):
    connection = {"conn_type": "spark", "host": "yarn", "extra": {"deploy-mode": "cluster"}}
    command = answer(
        SUBMITTED,
        tmp_path,
        "detect_objects",
        AIRFLOW_CONN_SPARK_DEFAULT=json.dumps(connection),
        PIPELINE_SPARK_CONNECTION="spark_default",
        PIPELINE_WAREHOUSE="hdfs://nameservice1/lake",
        PIPELINE_CONNECT_TOKEN="connect-secret",
        PIPELINE_METRICS_TOKEN="metrics-secret",
    )
    assert command[command.index("--deploy-mode") + 1] == "cluster"
    assert "spark.yarn.appMasterEnv.PIPELINE_WAREHOUSE=hdfs://nameservice1/lake" in command
    assert "spark.yarn.maxAppAttempts=1" in command
    assert "secret" not in " ".join(command)
