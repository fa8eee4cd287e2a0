"""The whole stack on HDFS, as `make services-up` starts it: what it shows the network, and how it takes blows."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import fsspec
import happybase
import pytest

from deploy.programs import PROGRAMS
from deploy.services import down, free_offset, up
from deploy.stack import MARKER, Stack
from deploy.supervision import StackError, die_with, processes, states
from spark_jobs.run_reports.reading import latest_reports, newest_published, newest_report
from spark_jobs.running.run_report import RunReport
from spark_jobs.settings import Settings
from tests.deploy.listening import listening_addresses
from tests.waiting import LIMIT_S, wait_for

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(home=tmp_path_factory.mktemp("whole"), offset=free_offset(), lake="hdfs")
    try:
        up(stack, attached=True)
        yield stack
    finally:
        down(stack)


def test_nothing_listens_on_another_address_than_127_0_0_1(whole: Stack) -> None:
    found = listening_addresses(processes(whole))
    expected = {whole.port(server) for program in PROGRAMS.values() for server in program.ports}
    assert {port for _, port in found} >= expected
    assert {address for address, _ in found} == {"127.0.0.1"}


def test_the_listening_test_sees_an_open_door() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert ("0.0.0.0", server.getsockname()[1]) in listening_addresses([os.getpid()])


def test_hbase_keeps_its_rows_on_hdfs(whole: Stack) -> None:
    connection = happybase.Connection("127.0.0.1", whole.port("thrift"))
    connection.create_table("kept", {"i": {}})
    connection.table("kept").put(b"1", {b"i:image": b"bytes"})
    assert connection.table("kept").row(b"1") == {b"i:image": b"bytes"}
    address = f"http://127.0.0.1:{whole.port('namenode_http')}/webhdfs/v1/hbase/data/default?op=LISTSTATUS"
    with urllib.request.urlopen(address) as answer:
        listed = json.load(answer)["FileStatuses"]["FileStatus"]
    assert "kept" in [entry["pathSuffix"] for entry in listed]


def test_run_reports_on_hdfs_are_written_whole_in_place_of_older_ones(
    whole: Stack,
) -> None:
    reports = f"webhdfs://127.0.0.1:{whole.port('namenode_http')}/reports"
    settings = replace(Settings.from_environment(whole.environment()), reports=reports)
    for attempt in (1, 2):
        report = RunReport("extract_features", "r", attempt, "2026-11-02", codes="", status="published")
        uri = report.write(settings.reports)
        assert newest_report(settings, "extract_features", "2026-11-02") == asdict(report)
    assert latest_reports(reports, 1) == [newest_published(reports, "extract_features", "")] == [asdict(report)]
    files, path = fsspec.core.url_to_fs(uri)
    assert files.ls(path.rpartition("/")[0], detail=False) == [path]


def test_airflow_needs_its_login(whole: Stack) -> None:
    for path in ("/api/v2/dags", "/api/v2/connections", "/api/v2/backfills?dag_id=image_pipeline"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(whole.airflow_url + path)
        assert refused.value.code == 401
    wrong = urllib.request.Request(
        f"{whole.airflow_url}/auth/token",
        data=json.dumps({"username": "admin", "password": "admin"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(wrong)
    assert refused.value.code == 401


def test_spark_connect_needs_its_token_and_writes_the_lake_on_hdfs(whole: Stack) -> None:
    assert "published 3" in _connect_client(whole, whole.secrets["connect_token"])
    assert "UNAUTHENTICATED" in _connect_client(whole, "wrong")


def test_a_killed_program_comes_back(whole: Stack) -> None:
    before = states(whole)["thrift"].pid
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: states(whole)["thrift"].pid not in (0, before))
    up(whole, ("thrift",))
    assert happybase.Connection("127.0.0.1", whole.port("thrift")).tables() is not None


def test_the_stack_stops_without_a_trace(whole: Stack) -> None:
    down(whole)
    assert processes(whole) == []
    assert states(whole) == {}


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("when", ["while it starts", "when it runs"])
def test_no_process_outlives_its_owner(tmp_path: Path, blow: signal.Signals, when: str) -> None:
    stack = Stack(home=tmp_path, offset=free_offset())
    with owner_of(stack) as owner:
        if when == "when it runs":
            assert owner.stdout is not None
            assert owner.stdout.readline() == "running\n"
        else:
            wait_for(lambda: is_starting(stack))
        owner.send_signal(blow)
        owner.wait(LIMIT_S)
    wait_for(lambda: processes(stack) == [])


def test_an_owner_whose_shell_ignores_signals_can_be_interrupted(tmp_path: Path) -> None:
    stack = Stack(home=tmp_path, offset=free_offset())
    with owner_of(stack, "env", "--ignore-signal=INT,TERM") as owner:
        wait_for(lambda: is_starting(stack))
        owner.send_signal(signal.SIGINT)
        owner.wait(LIMIT_S)
    assert processes(stack) == []


@contextmanager
def owner_of(stack: Stack, *shell: str) -> Iterator[subprocess.Popen[str]]:
    """A process that starts the stack, as a command of `shell`; it ends with the test, and with this process."""
    owner = subprocess.Popen(
        [*shell, sys.executable, "-m", "tests.deploy.owner"],
        env={**os.environ, **stack.environment()},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 (it calls C functions only)
    )
    try:
        yield owner
    finally:
        owner.kill()
        owner.communicate()


def is_starting(stack: Stack) -> bool:
    return "hbase" in states(stack) and states(stack)["hbase"].pid > 0


def test_a_program_that_cannot_start_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(home=tmp_path, offset=free_offset())
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no java"))
    try:
        with pytest.raises(StackError, match=r"Spark Connect server ends again and again[^$]*connect\.log"):
            up(stack, ("connect",), attached=True)
    finally:
        down(stack)


def test_the_marker_is_inherited_and_not_given_to_clients(tmp_path: Path) -> None:
    stack = Stack(home=tmp_path)
    assert MARKER in stack.full_environment()
    assert MARKER not in stack.environment()


def _connect_client(stack: Stack, token: str) -> str:
    """What a client prints that creates, fills and reads a table of the lake."""
    program = f"""
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote("{stack.environment()["PIPELINE_CONNECT_URL"]}/;token={token}").getOrCreate()
spark.sql("create table lake.trial.numbers using iceberg as select id from range(3)")
print("published", spark.table("lake.trial.numbers").count())
"""
    environment = {**os.environ, **stack.environment()}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.stdout + done.stderr
