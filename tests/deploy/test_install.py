"""The installer, where nothing is there yet: no packages of ours, no Java, no right to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import install
from deploy.places import REPOSITORY


def test_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    done = _run("packages", tmp_path)
    assert done.returncode == 1
    assert "apt-get install openjdk-17-jre-headless maven" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_compiler_is_said_but_does_not_stop(tmp_path: Path) -> None:
    for tool in ("java", "mvn"):
        found = shutil.which(tool)
        if found is None:
            pytest.skip(f"this machine has no {tool}")
        (tmp_path / tool).symlink_to(found)
    done = _run("packages", tmp_path)
    assert done.returncode == 0
    assert "a C++ compiler: missing" in done.stderr


def test_what_is_installed_is_left_alone(tmp_path: Path) -> None:
    """With nothing on the PATH, Maven and the installer cannot run: they are not asked to."""
    assert _run("environment", tmp_path).returncode == 0
    assert _run("java", tmp_path).returncode == 0


def test_a_changed_pom_is_installed_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(install, "JARS", tmp_path)
    monkeypatch.setattr(install, "_logged", lambda part, command, environment=None: commands.append(command))
    install.install_java_service("hbase")
    install.install_java_service("hbase")
    assert [command[0] for command in commands] == ["mvn"]
    next((tmp_path / "hbase").glob(".installed-*")).unlink()
    install.install_java_service("hbase")
    assert len(commands) == 2


def _run(part: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run the installer without site-packages, with only the programs in a folder."""
    command = [sys.executable, "-S", "-m", "deploy.install", part]
    environment = {**os.environ, "PATH": str(path), "PYTHONPATH": ""}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
