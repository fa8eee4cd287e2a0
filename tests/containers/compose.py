"""The stack of docker-compose.yml as the tests drive it: a checkout of its own, with a project, secrets and ports of
its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deploy import REPOSITORY
from deploy.airflow_rest import Airflow
from tests import waiting

wait_for = partial(waiting.wait_for, pause_s=2.0)

_KILL_ALL = ["sh", "-c", "kill -9 -1"]
"""Ends every process of a container but its init, which then ends with the same exit code."""


def _command() -> list[str]:
    """Compose, as Docker's plugin where there is one, else the older program."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def _sources() -> list[str]:
    """The files of the project, as they are now: nothing that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


@dataclass
class Compose:
    """One project of docker-compose.yml.

    folder: an empty one; the sources go there, as a clean checkout would have them.
    settings: lines of .env that differ from those that `make env-file` writes.
    """

    folder: Path
    settings: dict[str, str]
    project: str = "pipeline-test"
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _sources():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, self.folder / name)
        subprocess.run(["make", "--silent", "env-file"], cwd=self.folder, check=True)
        lines = (self.folder / ".env").read_text().splitlines()
        self.secrets = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        self.secrets |= self.settings
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in self.secrets.items()))

    @property
    def airflow(self) -> Airflow:
        """Airflow's interface, as the administrator."""
        return Airflow(f"http://127.0.0.1:{self.secrets['AIRFLOW_PORT']}", self.secrets["AIRFLOW_ADMIN_PASSWORD"])

    def run(self, *arguments: str, limit_s: float = 1800.0) -> str:
        """Run a compose command; what it prints.

        Raises CalledProcessError when it fails.
        """
        done = subprocess.run(
            [*_command(), "--project-name", self.project, *arguments],
            cwd=self.folder, stdout=subprocess.PIPE, text=True, timeout=limit_s, check=True,
            # An environment that sets the same names would win over the file.
            env={name: value for name, value in os.environ.items() if name not in self.secrets},
        )  # fmt: skip
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return self.run("ps", "-q", service).split()

    def inspected(self, container: str) -> dict[str, Any]:
        """What Docker knows of a container."""
        done = subprocess.run(["docker", "inspect", container], stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container; what it prints."""
        done = subprocess.run(["docker", "exec", container, *command], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    def kill(self, container: str) -> None:
        """End all of a container at once, as a crash does, and wait until Docker has seen it."""
        before = self.inspected(container)["RestartCount"]
        subprocess.run(["docker", "exec", container, *_KILL_ALL], check=False)
        wait_for(lambda: self.inspected(container)["RestartCount"] > before)

    def all_healthy(self) -> bool:
        """Whether every container that has a health check passes it."""
        states = [self.inspected(container)["State"] for container in self.run("ps", "-q").split()]
        return all(state["Health"]["Status"] == "healthy" for state in states if "Health" in state)
