"""A Spark cluster on this machine: a master and workers of one core each, every one a process of its own on free
ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark
import pytest

from tests.waiting import wait_for

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.executorEnv.PYTHONPATH": str(ROOT),
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "1g",
}


@dataclass
class Cluster:
    """`url` of the master; the processes of master and workers."""

    url: str
    master: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    def executors(self) -> list[int]:
        """The processes of the executors that run."""
        parents = {worker.pid for worker in self.workers}
        return [pid for pid in processes() if parent_of(pid) in parents]


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Start one, with its files in `folder`; it ends with the context."""
    master = _start(folder, "master", "org.apache.spark.deploy.master.Master", "--port", "0", "--webui-port", "0")
    started = [master]
    try:
        url = wait_for(lambda: _found(folder / "master.log", r"(spark://127\.0\.0\.1:\d+)"))
        for number in range(workers):
            name = f"worker{number}"
            arguments = ("-c", "1", "-m", "2g", "-d", str(folder / name), "--webui-port", "0", url)
            started.append(_start(folder, name, "org.apache.spark.deploy.worker.Worker", *arguments))
        for number in range(workers):
            wait_for(lambda: _found(folder / f"worker{number}.log", r"(Successfully registered)"))  # noqa: B023
        yield Cluster(url, master, started[1:])
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


@contextmanager
def context_on(url: str, folder: Path, **settings: str) -> Iterator[Any]:
    """A SparkContext on a master, the only one of this process; pyspark starts none where a session of Spark Connect
    was before."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = pyspark.SparkConf().setMaster(url).setAll([*SETTINGS.items(), ("spark.local.dir", str(folder / "local"))])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPARK_CONNECT_MODE_ENABLED", raising=False)
        context = pyspark.SparkContext(conf=conf.setAll([*settings.items()]))
        context.setLogLevel("ERROR")
        try:
            yield context
        finally:
            context.stop()


def _start(folder: Path, name: str, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
    home = Path(pyspark.__file__).parent
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(folder / "local")}
    command = [str(home / "bin/spark-class"), kind, "--host", "127.0.0.1", *arguments]
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def _found(path: Path, pattern: str) -> str | None:
    match = re.search(pattern, path.read_text(errors="replace")) if path.exists() else None
    return match[1] if match else None


def processes() -> list[int]:
    """All processes of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parent_of(pid: int) -> int:
    """The parent of a process, 0 if it has gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)
