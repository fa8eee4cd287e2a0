"""One project of containers for all tests of the ring, and the report of the embedded demo to compare with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.compose import Compose, wait_for

PER_DAY = 60


@pytest.fixture(scope="session")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The stack, built and healthy; its containers and volumes go at the end."""
    ports = {"AIRFLOW_PORT": "28080", "SPARK_UI_PORT": "28081", "HDFS_UI_PORT": "29870"}
    project = Compose(tmp_path_factory.mktemp("compose"), {**ports, "DEMO_IMAGES_PER_DAY": str(PER_DAY)})
    try:
        project.run("up", "--build", "--detach", limit_s=3600)
        wait_for(project.all_healthy)
        yield project
    finally:
        project.run("down", "--volumes")


@pytest.fixture(scope="session")
def demonstrated(compose: Compose) -> dict[str, Any]:
    """The report of the demo in containers."""
    compose.run("run", "--rm", "-T", "demo")
    printed = compose.run("run", "--rm", "-T", "--no-deps", "demo", "cat", "/srv/pipeline/demo/report.json")
    report: dict[str, Any] = json.loads(printed[printed.index("{") :])
    return report


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of the demo on this machine, of the same catalogue."""
    home: Path = tmp_path_factory.mktemp("embedded")
    command = [sys.executable, "-m", "deploy.demo", "--per-day", str(PER_DAY), "--report", str(home / "report")]
    subprocess.run(command, env={**os.environ, "PIPELINE_HOME": str(home)}, check=True)
    report: dict[str, Any] = json.loads((home / "report" / "report.json").read_text())
    return report
