"""The daemon that forks Python workers, started as Spark does: it stays while it has a worker and ends when it has
none."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import Stack
from spark_jobs.running.code_version import ask
from tests.python_processes import python_daemons, python_workers
from tests.spark_jobs.lake import Lake
from tests.waiting import LIMIT_S, wait_for

LOOK_EVERY_S = 0.05
PROGRAM = f"from spark_jobs.running import python_daemon; python_daemon.run({LOOK_EVERY_S})"


@pytest.fixture
def short_folder() -> Iterator[str]:
    """The path of a socket may have some hundred bytes; that of `tmp_path` may be longer."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


@pytest.fixture
def daemon(short_folder: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PYTHON_UNIX_DOMAIN_ENABLED": "true", "PYTHON_WORKER_FACTORY_SOCK_DIR": short_folder}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "pyspark.worker"],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.communicate()


def socket_of(daemon: subprocess.Popen[bytes]) -> Path:
    """Where the daemon listens, as it tells Spark once it does."""
    assert daemon.stdout is not None
    (length,) = struct.unpack("!i", daemon.stdout.read(4))
    return Path(daemon.stdout.read(length).decode())


def test_it_ends_after_its_last_worker_and_leaves_no_socket(daemon: subprocess.Popen[bytes]) -> None:
    path = socket_of(daemon)
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(path))
        (worker,) = struct.unpack("!i", asking.recv(4))
        assert worker > 0
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(20 * LOOK_EVERY_S)
    daemon.wait(LIMIT_S)
    assert not path.exists()


def test_it_ends_when_nobody_ever_asks_for_a_worker(daemon: subprocess.Popen[bytes]) -> None:
    path = socket_of(daemon)
    daemon.wait(LIMIT_S)
    assert not path.exists()


@pytest.mark.spark
def test_a_session_whose_daemon_has_ended_gets_another(lake: Lake, connect_server: Stack) -> None:
    others = python_daemons(connect_server)
    spark = lake.connect()
    try:
        answer = ask(spark, 2)
        (ended,) = python_daemons(connect_server) - others
        wait_for(lambda: not python_workers(connect_server, ended))  # Spark ends an idle worker after a minute
        os.kill(ended, signal.SIGTERM)
        wait_for(lambda: ended not in python_daemons(connect_server))
        assert ask(spark, 2) == answer
    finally:
        spark.stop()
