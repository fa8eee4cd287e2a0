"""Airflow alone, as the stack starts it: who may do what, what goes first, two backfills, and who is told of failures.

No Spark is there: the stack names a connection that does not exist, so that every stage fails at once and without a
retry.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
import pytest
from rich.console import Console

from deploy import demo
from deploy.airflow_rest import FINISHED, Airflow, AirflowError
from deploy.demo import DemoError
from deploy.services import down, free_offset, up
from deploy.stack import HBASE_POOL, Stack
from deploy.supervision import states
from spark_jobs.pipeline import UNDOING
from spark_jobs.running.run_report import RunReport
from tests import waiting

pytestmark = pytest.mark.services

DAG = "image_pipeline"
wait_for = partial(waiting.wait_for, pause_s=1.0)


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


def form_of(page: str) -> dict[str, str]:
    """The hidden fields of a page's form that is sent by POST."""
    form = re.search(r"<form method=post.*?</form>", page, re.DOTALL)
    assert form is not None, page
    return dict(re.findall(r"<input type=hidden name=(\w+) value='([^']*)'>", form[0]))


def browser_of(stack: Stack, user: str) -> Callable[..., tuple[int, str, str]]:
    """What asks for a page as a user's browser does: its status, where it led, its text; with fields, as a form."""
    passwords = json.loads((stack.home / "secrets" / "airflow_passwords.json").read_text())
    login = json.dumps({"username": user, "password": passwords[user]}).encode()
    asked = urllib.request.Request(f"{stack.airflow_url}/auth/token", login, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        cookie = {"Cookie": f"_token={json.load(answer)['access_token']}"}

    def ask(path: str, **fields: str) -> tuple[int, str, str]:
        data = urlencode(fields).encode() if fields else None
        try:
            with urllib.request.urlopen(urllib.request.Request(stack.airflow_url + path, data, cookie)) as answer:
                return answer.status, answer.url.removeprefix(stack.airflow_url), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, "", error.read().decode()

    return ask


def test_who_may_undo_a_day_on_the_page_and_what_comes_of_it(lone: Stack) -> None:
    day, rest = "2026-08-01", administrator(lone)
    for stage, dataset in (("read_images", "raw_images"), ("preprocess_images", "images")):
        report = RunReport(stage, "scheduled__it.20260802T000000", 1, day, dag=DAG, dataset=dataset, status="published")
        report.write(f"file://{lone.home}/reports")
    operator, viewer = browser_of(lone, "olga"), browser_of(lone, "vera")
    overview = f"/pipeline/?until={day}&days=1"
    assert "Undo …</a>" in operator(overview)[2]
    assert "Undo …</a>" not in viewer(overview)[2]
    asked = form_of(operator(f"/pipeline/undo?day={day}")[2])
    assert asked["run"] == "scheduled__it.20260802T000000"
    of_the_viewer = form_of(viewer(f"/pipeline/undo?day={day}")[2])
    assert viewer("/pipeline/undo", **of_the_viewer)[0] == 403
    assert operator("/pipeline/undo", **{**asked, "proof": of_the_viewer["proof"]})[0] == 403
    assert operator("/pipeline/undo", **{**asked, "proof": "none"})[0] == 403
    assert rest.runs(UNDOING) == []
    status, place, said = operator("/pipeline/undo", **asked)
    (run,) = rest.runs(UNDOING)
    assert (status, place.partition("?")[0]) == (200, "/pipeline/started") and run.name in said
    assert wait_for(lambda: [run.state for run in rest.runs(UNDOING) if run.state in FINISHED]) == ["failed"]
    stored = rest._request("GET", f"/api/v2/dags/{UNDOING}/dagRuns/{quote(run.name)}")
    assert stored["conf"] == {"day": day, "run": "scheduled__it.20260802T000000"}
    assert stored["triggering_user_name"] == "olga"
    assert stored["note"].startswith(f"Day **{day}**: [runs and reports](/pipeline/?until={day}&days=1)")
    said = "\n".join(rest.log(UNDOING, rest.tasks(UNDOING)[0]))
    assert "connection 'missing' is missing" in said


def test_a_cost_sheet_on_the_page_refuses_in_the_words_of_the_command(lone: Stack) -> None:
    operator = browser_of(lone, "olga")
    proof = re.search(r"name=proof value='([^']*)'", operator("/pipeline/")[2])
    assert proof is not None
    status, _, said = operator("/pipeline/cost", first="2026-11-03", last="2026-11-01", proof=proof[1])
    assert status == 200
    assert (
        "estimate_backfill: got --to 2026-11-01 before --from 2026-11-03, expected the same day or a later one" in said
    )
    assert operator("/pipeline/cost", first="2026-11-33", last="2026-11-01", proof=proof[1])[0] == 422
    assert operator("/pipeline/cost", first="2026-11-01", last="2026-11-01", proof="none")[0] == 403


def note_of(rest: Airflow, run: str) -> str:
    """The note of a run; empty before it has begun."""
    return str(rest._request("GET", f"/api/v2/dags/{DAG}/dagRuns/{run}")["note"] or "")


def test_two_backfills_and_what_goes_first(lone: Stack, told: tuple[str, list[str]]) -> None:
    rest = administrator(lone)
    first, last = date(2026, 11, 1), date(2026, 11, 2)
    of_hand = {"dag_run_id": "of_a_day", "logical_date": None, "conf": {"day": "2026-11-02"}}
    rest._request("POST", f"/api/v2/dags/{DAG}/dagRuns", of_hand)
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
        failed = f"stage read_images failed in run backfill__{day}T00:00:00+00:00"
        said = wait_for(lambda start=failed: next((text for text in told[1] if start in text), None))
        assert f"day {day}: connection 'missing' is missing" in said
    notes = {run["dag_run_id"]: run["note"] for run in rest._request("GET", f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]}
    assert wait_for(lambda: note_of(rest, "of_a_day")).startswith("Day **2026-11-02**")
    assert all(
        note.startswith(f"Day **{name[10:20]}**")
        for name, note in notes.items()
        if name.startswith("backfill__2026-11")
    )
    status, place, _ = browser_of(lone, "vera")(f"/pipeline/run?dag={DAG}&run=of_a_day")
    assert (status, place.partition("?run=of_a_day.")[0]) == (200, "/pipeline/")
    assert place.endswith("&until=2026-11-02&days=1")
    assert rest.backfill(DAG, first, last, at_once=1) > number


def test_a_late_daily_run_is_announced_and_nothing_else_is_late(lone: Stack, told: tuple[str, list[str]]) -> None:
    rest = administrator(lone)
    rest.unpause(DAG)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    late = wait_for(lambda: [text for text in told[1] if "is late" in text])
    assert len(late) == 1
    assert f"day {yesterday} is late: run scheduled__{yesterday}" in late[0]


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


def test_exactly_the_missed_days_are_run_once(lone: Stack) -> None:
    rest = administrator(lone)
    for day in ("2026-09-01", "2026-09-03", "2026-09-06"):
        RunReport("extract_features", "daily", 1, day, codes="", status="published").write(
            f"file://{lone.home}/reports"
        )

    def catch_up(*options: str) -> list[str]:
        command = [sys.executable, "-m", "spark_jobs.catch_up", *options]
        done = subprocess.run(command, env=lone.full_environment(), check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    missed = ["2026-09-02", "2026-09-04", "2026-09-05"]
    before = {run.name for run in rest.runs(DAG)}
    assert [line.split() for line in catch_up("--dry-run")] == [[day, "no", "codes"] for day in missed]
    assert {run.name for run in rest.runs(DAG)} == before
    assert [line.split()[0] for line in catch_up()] == missed
    asked = {
        run["dag_run_id"]: run["conf"]
        for run in rest._request("GET", f"/api/v2/dags/{DAG}/dagRuns?limit=100")["dag_runs"]
    }
    assert [conf["day"] for name, conf in sorted(asked.items()) if name not in before] == missed
    assert all("already requested today" in line for line in catch_up())
    assert len(rest.runs(DAG)) == len(before) + len(missed)


def test_a_pool_keeps_the_size_that_somebody_gave_it_when_another_airflow_starts(lone: Stack) -> None:
    rest = administrator(lone)
    path = f"/api/v2/pools/{HBASE_POOL}"
    assert rest._request("GET", path)["slots"] == 2
    rest._request("PATCH", f"{path}?update_mask=slots", {"name": HBASE_POOL, "slots": 7, "include_deferred": False})
    migrate = [sys.executable, "-m", "deploy.airflow_database"]
    with closing(psycopg2.connect(lone.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("COMMENT ON DATABASE airflow IS 'Airflow of an earlier version'")
    assert (
        b"Performing upgrade"
        in subprocess.run(migrate, env=lone.full_environment(), check=True, capture_output=True).stdout
    )
    assert rest._request("GET", path)["slots"] == 7


def test_when_postgres_was_killed_airflow_goes_on(lone: Stack) -> None:
    rest = administrator(lone)
    rest.unpause(DAG)
    killed = states(lone)["postgres"].pid
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: states(lone)["postgres"].pid not in (0, killed))
    up(lone, ("airflow",))
    for day in ("2026-09-01", "2026-09-02"):
        range_of_one = ("--from-date", day, "--to-date", day)
        create = [sys.executable, "-m", "airflow", "backfill", "create", "--dag-id", DAG, *range_of_one]
        subprocess.run(create, env={**os.environ, **lone.environment()}, check=True)
        wait_for(lambda day=day: [run for run in rest.runs(DAG) if run.day == day and run.state in FINISHED])
        earlier = rest._request("GET", f"/api/v2/backfills?dag_id={DAG}&limit=100")["backfills"]
        wait_for(lambda found=earlier: all(rest.is_completed(backfill["id"]) for backfill in found))
