"""The stack in containers, from nothing but Docker: up, the demo, backfills, and a crash of each container during a
run.

By hand: `make test RING=containers`. Needs Docker with Compose; takes the machine's two cores for about an hour.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from deploy import REPOSITORY
from deploy.airflow_rest import Airflow
from deploy.demo import demo_days
from spark_jobs.pipeline import stages_of
from tests.containers.compose import Compose, wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(7200)]

PIPELINE = "image_pipeline"
FIRST, *_, LAST = demo_days(date.today())
RUN_LIMIT_S = 1200.0
_ROWS = """
from spark_jobs.scoring.published import lake
from spark_jobs.settings import Settings
settings = Settings.from_environment()
with lake(settings) as spark:
    place = ("day", "key", "crop")
    rows = spark.table(settings.table("features")).orderBy(*place).select(*place, "code").collect()
    print("ROWS", [(str(r.day), r.key, r.crop, r.code and bytes(r.code).hex()) for r in rows])
"""


@pytest.fixture(scope="module")
def airflow(compose: Compose, demonstrated: dict[str, Any]) -> Airflow:
    """Airflow after the demo."""
    return compose.airflow


def test_every_published_port_is_on_this_machine_alone(compose: Compose) -> None:
    found = [
        entry["HostIp"]
        for container in compose.run("ps", "-q").split()
        for entries in compose.inspected(container)["NetworkSettings"]["Ports"].values()
        for entry in entries or []
    ]
    assert len(found) == 3
    assert set(found) == {"127.0.0.1"}


def test_no_service_runs_as_root(compose: Compose) -> None:
    for container in compose.run("ps", "-q").split():
        if compose.inspected(container)["State"]["Running"]:
            assert compose.execute(container, "id", "-u").strip() != "0"


def test_no_image_holds_a_secret(compose: Compose) -> None:
    secrets = [value for value in compose.secrets.values() if len(value) == 44]
    assert len(secrets) == 9
    for image in ("pipeline-java", "pipeline-python", "pipeline-postgres"):
        # Every layer, also what a later one has removed, and the image's history and configuration.
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            search = [part for value in (*secrets, "PIPELINE_HOME=/srv/pipeline") for part in ("-e", value)]
            found = subprocess.run(
                ["grep", "--text", "--only-matching", "--fixed-strings", *search],
                stdin=saved.stdout, stdout=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        # What every image but the database's has in its configuration shows that the search finds something.
        assert set(found.stdout.split()) == (set() if image == "pipeline-postgres" else {"PIPELINE_HOME=/srv/pipeline"})


def test_airflow_wants_its_login(compose: Compose) -> None:
    for path in ("/api/v2/dags", "/api/v2/connections"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(compose.airflow.url + path)
        assert refused.value.code == 401


def test_a_browser_cannot_be_made_to_write_into_hdfs(compose: Compose) -> None:
    address = f"http://127.0.0.1:{compose.secrets['HDFS_UI_PORT']}/webhdfs/v1/unwanted?op=MKDIRS&user.name=pipeline"
    request = urllib.request.Request(address, method="PUT", headers={"User-Agent": "Mozilla/5.0"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400


def test_prometheus_sees_every_stage_with_its_token(compose: Compose, demonstrated: dict[str, Any]) -> None:
    assert demonstrated["rows"]
    headers = {"Authorization": f"Bearer {compose.secrets['METRICS_TOKEN']}"}
    request = urllib.request.Request(compose.airflow.url + "/pipeline/metrics", headers=headers)
    with urllib.request.urlopen(request) as told:
        text = told.read().decode()
    assert all(f'stage="{stage.name}"' in text for stage in stages_of(PIPELINE))


def test_days_are_read_within_a_pool(compose: Compose) -> None:
    (scheduler,) = compose.containers("airflow-scheduler")
    name = compose.execute(scheduler, "printenv", "PIPELINE_HBASE_POOL").strip()
    (pool,) = json.loads(compose.execute(scheduler, "airflow", "pools", "get", name, "--output", "json"))
    assert (pool["pool"], int(pool["slots"])) == ("hbase", 2)


def test_the_folder_of_models_is_shared_and_the_scheduler_writes_there(compose: Compose) -> None:
    shipped = {path.name for path in (REPOSITORY / "models").iterdir()}
    (scheduler,) = compose.containers("airflow-scheduler")
    compose.execute(scheduler, "mkdir", "/srv/pipeline/models/trained")
    for service in ("spark-worker", "airflow-api"):
        listed = compose.execute(compose.containers(service)[0], "ls", "/srv/pipeline/models").split()
        assert set(listed) == {*shipped, "trained"}
    compose.execute(scheduler, "rmdir", "/srv/pipeline/models/trained")


def test_the_demo_publishes_what_the_embedded_one_does(demonstrated: dict[str, Any], embedded: dict[str, Any]) -> None:
    for part in ("rows", "reasons", "fingerprints"):
        assert demonstrated[part] == embedded[part]


def test_a_backfill_by_rest(compose: Compose, airflow: Airflow) -> None:
    before = _features(compose)
    _await(airflow, airflow.backfill(PIPELINE, FIRST, LAST, at_once=3))
    assert _features(compose) == before


def test_a_backfill_by_the_command_line_in_the_container(compose: Compose, airflow: Airflow) -> None:
    day = FIRST - timedelta(days=1)
    line = f"airflow backfill create --dag-id {PIPELINE} --from-date {day} --to-date {day}"
    # That day has no images: allowed, it is published empty.
    allowed = ["--dag-run-conf", '{"allow_empty": true}']
    compose.run("exec", "-T", "airflow-scheduler", *line.split(), *allowed)
    newest = max(entry["id"] for entry in airflow._request("GET", f"/api/v2/backfills?dag_id={PIPELINE}")["backfills"])
    _await(airflow, newest)
    assert str(day) in {run.day for run in airflow.runs(PIPELINE)}


_DEATHS = (
    {
        "read_images": "thrift",
        "preprocess_images": "datanode-1",
        "detect_objects": "spark-worker",
        "crop_objects": "airflow-api",
    },
    {
        "read_images": "regionserver",
        "preprocess_images": "connect",
        "detect_objects": "airflow-scheduler",
        "crop_objects": "postgres",
    },
    {
        "read_images": "zookeeper",
        "preprocess_images": "spark-master",
        "detect_objects": "namenode",
        "crop_objects": "hbase-master",
    },
)
"""What dies while Spark works on each stage of a run."""


@pytest.mark.parametrize("deaths", _DEATHS, ids=lambda deaths: "-".join(deaths.values()))
def test_a_run_survives_the_death_of_containers(deaths: dict[str, str], compose: Compose, airflow: Airflow) -> None:
    before = _features(compose)
    backfill = airflow.backfill(PIPELINE, FIRST, FIRST, at_once=1)
    for stage, service in deaths.items():
        wait_for(_spark_works_on(compose, airflow, stage), limit_s=RUN_LIMIT_S, pause_s=0.2)
        compose.kill(compose.containers(service)[0])
    _await(airflow, backfill)
    assert _features(compose) == before
    wait_for(compose.all_healthy)


def test_more_workers_region_servers_and_thrift_servers(compose: Compose, airflow: Airflow) -> None:
    before = _features(compose)
    more = ("spark-worker=3", "regionserver=2", "thrift=3")
    options = [part for entry in more for part in ("--scale", entry)]
    compose.run("up", "--detach", "--no-recreate", *options)
    wait_for(compose.all_healthy)
    assert [len(compose.containers(entry.split("=")[0])) for entry in more] == [3, 2, 3]
    _await(airflow, airflow.backfill(PIPELINE, FIRST, LAST, at_once=3))
    assert _features(compose) == before


def _spark_works_on(compose: Compose, airflow: Airflow, stage: str) -> Callable[[], bool]:
    """Whether the task of a stage runs and Spark computes something for it, as its page tells."""
    master = f"http://127.0.0.1:{compose.secrets['SPARK_UI_PORT']}"

    def works() -> bool:
        if not any(task.name == stage and task.state == "running" for task in airflow.tasks(PIPELINE)):
            return False
        return any(
            _json(f"{master}/proxy/{app['id']}/api/v1/applications/{app['id']}/stages?status=active")
            for app in _json(f"{master}/json/")["activeapps"]
        )

    return works


def _json(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


def _await(airflow: Airflow, backfill: int) -> None:
    """Wait for a backfill to end, and check that all went well."""
    wait_for(lambda: airflow.is_completed(backfill), limit_s=RUN_LIMIT_S)
    assert {run.state for run in airflow.runs(PIPELINE)} == {"success"}


def _features(compose: Compose) -> str:
    """Every published code, as one line."""
    printed = compose.run("run", "--rm", "-T", "--no-deps", "demo", "python3", "-c", _ROWS)
    (line,) = [line for line in printed.splitlines() if line.startswith("ROWS")]
    return line
