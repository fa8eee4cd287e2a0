"""Airflow alone, as the stack starts it: who may do what, what goes first, two backfills, and who is told of failures.

No Spark is there: the stack names a connection that does not exist, so that every stage fails at once and without a retry.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from rich.console import Console

from deploy import demo
from deploy.airflow_rest import FINISHED, Airflow, AirflowError
from deploy.demo import DemoError
from deploy.services import down, free_offset, up
from deploy.stack import HBASE_POOL, Stack
from tests import waiting

pytestmark = pytest.mark.services

DAG = "image_pipeline"
wait_for = partial(waiting.wait_for, limit_s=240.0, pause_s=1.0)


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, list[str]]]:
    """The URL of a webhook, and what it has been told so far."""
    messages: list[str] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", messages
        server.shutdown()


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory, told: tuple[str, list[str]]) -> Iterator[Stack]:
    """A stack whose daily run is late almost at once, and which has no Spark."""
    own = {
        "PIPELINE_ALERT_URL": told[0],
        "PIPELINE_DEADLINE_HOURS": "0.001",
        "PIPELINE_SPARK_CONNECTION": "missing",
        "PIPELINE_USERS": "olga:op,vera:viewer",
    }
    stack = Stack(tmp_path_factory.mktemp("lone"), free_offset(), overrides=own)
    try:
        up(stack, ("airflow",), attached=True)
        rest = administrator(stack)
        wait_for(lambda: rest.knows(DAG))
        yield stack
    finally:
        down(stack)


def administrator(stack: Stack) -> Airflow:
    """Airflow's REST interface as the user `admin`."""
    return Airflow(stack.airflow_url, stack.secrets["airflow_password"])


def status(stack: Stack, path: str, user: str | None = None, token: str | None = None, **body: Any) -> int:
    """The HTTP status that a user (None: a stranger) gets; with a body, of a POST."""
    headers = {"Content-Type": "application/json"}
    if user:
        passwords = json.loads((stack.home / "secrets" / "airflow_passwords.json").read_text())
        login = json.dumps({"username": user, "password": passwords[user]}).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"{stack.airflow_url}/auth/token", login, headers)
        ) as answer:
            token = json.load(answer)["access_token"]
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body else None
    try:
        with urllib.request.urlopen(urllib.request.Request(stack.airflow_url + path, data, headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_pages_are_for_users_and_metrics_also_for_the_token(lone: Stack) -> None:
    for path in ("/pipeline/", "/pipeline/reports", "/pipeline/metrics", "/pipeline/report?stage=read_images&run=r"):
        assert status(lone, path) == 401, path
    assert [status(lone, path, user="vera") for path in ("/pipeline/", "/pipeline/metrics")] == [200, 200]
    token = lone.secrets["metrics_token"]
    assert [status(lone, path, token=token) for path in ("/pipeline/metrics", "/pipeline/")] == [200, 403]
    assert status(lone, "/pipeline/metrics", token="another") == 403


def test_a_viewer_looks_and_an_operator_acts(lone: Stack) -> None:
    run = {"dag_run_id": "by_hand", "logical_date": None, "conf": {"day": "2026-11-02"}}
    runs = f"/api/v2/dags/{DAG}/dagRuns"
    assert status(lone, "/api/v2/dags", user="vera") == 200
    assert status(lone, runs, user="vera", **run) == 403
    assert status(lone, "/api/v2/connections", user="vera") == 403
    assert status(lone, "/api/v2/connections", user="olga") == 200
    assert status(lone, runs, user="olga", **run) == 200


def test_two_backfills_and_what_goes_first(lone: Stack, told: tuple[str, list[str]]) -> None:
    rest = administrator(lone)
    first, last = date(2026, 11, 1), date(2026, 11, 2)
    number = rest.backfill(DAG, first, last, at_once=1)
    with pytest.raises(AirflowError, match=f"409.*already.*{DAG}"):
        rest.backfill(DAG, last, last, at_once=1)
    rest.unpause(DAG)
    wait_for(lambda: rest.is_completed(number))
    runs = {run.name: run for run in rest.runs(DAG)}
    places = {
        (runs[task["dag_run_id"]].kind, task["task_id"] == "read_images", task["priority_weight"], task["pool"])
        for task in rest._request("GET", f"/api/v2/dags/{DAG}/dagRuns/~/taskInstances")["task_instances"]
    }
    assert {(kind, weight) for kind, _, weight, _ in places} >= {("backfill", 1), ("manual", 100)}
    assert {(reads, pool) for _, reads, _, pool in places} == {(True, HBASE_POOL), (False, "default_pool")}

    for day in (first, last):
        failed = f"stage read_images failed in run backfill__{day + timedelta(days=1)}"
        said = wait_for(lambda start=failed: next((text for text in told[1] if start in text), None))
        assert f"day {day}: connection 'missing' is missing" in said
    assert rest.backfill(DAG, first, last, at_once=1) > number


def test_a_late_daily_run_is_announced_and_nothing_else_is_late(lone: Stack, told: tuple[str, list[str]]) -> None:
    rest = administrator(lone)
    rest.unpause(DAG)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    late = wait_for(lambda: [text for text in told[1] if "is late" in text])
    assert len(late) == 1
    assert f"day {yesterday} is late: run scheduled__" in late[0]


def test_the_demo_on_servers_that_run_judges_its_own_runs_alone(lone: Stack) -> None:
    rest = administrator(lone)
    rest._request("POST", f"/api/v2/dags/{DAG}/dagRuns", {"dag_run_id": "of_another", "logical_date": None})
    rest.unpause(DAG)
    wait_for(lambda: {run.kind for run in rest.runs(DAG)} >= {"manual", "scheduled"})
    wait_for(lambda: {run.state for run in rest.runs(DAG)} <= set(FINISHED))
    earlier = rest._request("GET", f"/api/v2/backfills?dag_id={DAG}")["backfills"]
    wait_for(lambda: all(rest.is_completed(backfill["id"]) for backfill in earlier))
    days = [date(2026, 10, 1), date(2026, 10, 2)]
    with pytest.raises(DemoError) as error:
        demo._backfill(rest, days, Console(quiet=True))
    own = [run.name for run in rest.runs(DAG) if date.fromisoformat(run.day) in days]
    assert str(error.value) == f"2 of 2 runs did not succeed: {', '.join(own)}"


def test_a_pool_keeps_the_size_that_somebody_gave_it_when_another_airflow_starts(lone: Stack) -> None:
    rest = administrator(lone)
    path = f"/api/v2/pools/{HBASE_POOL}"
    assert rest._request("GET", path)["slots"] == 2
    rest._request("PATCH", f"{path}?update_mask=slots", {"name": HBASE_POOL, "slots": 7, "include_deferred": False})
    (migrated,) = (lone.home / "airflow").glob("database-*")
    migrated.rename(migrated.with_name("database-of-an-older-one"))
    subprocess.run([sys.executable, "-m", "deploy.airflow_database"], env=lone.full_environment(), check=True)
    assert migrated.exists()
    assert rest._request("GET", path)["slots"] == 7
