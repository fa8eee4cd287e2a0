"""The stack's description: ports, variables, secrets, configuration files, the table of programs. No process starts."""

from __future__ import annotations

import re
import shlex
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from supervisor.options import ServerOptions

from deploy.configuration import write_configuration
from deploy.programs import PROGRAMS, chosen
from deploy.services import free_offset, up
from deploy.stack import PORTS, Stack
from deploy.supervision import StackError, write_supervisor_configuration
from spark_jobs.settings import Settings


@pytest.fixture
def local(tmp_path: Path) -> Stack:
    return Stack(home=tmp_path, offset=100)


def test_jobs_find_the_servers_where_the_stack_puts_them(local: Stack) -> None:
    settings = Settings.from_environment(local.environment())
    assert settings.gateways() == (("127.0.0.1", 19190),)
    assert settings.warehouse == f"file://{local.home}/lake"
    assert settings.connect_url == "sc://localhost:15102"
    assert settings.connect_token == local.secrets["connect_token"]


def test_on_hdfs_the_lake_and_hbase_are_there(tmp_path: Path) -> None:
    stack = Stack(home=tmp_path, lake="hdfs")
    folder = write_configuration(stack)
    assert stack.environment()["PIPELINE_WAREHOUSE"] == "hdfs://127.0.0.1:18020/lake"
    assert _properties(folder / "hbase" / "hbase-site.xml")["hbase.rootdir"] == "hdfs://127.0.0.1:18020/hbase"


def test_users_may_point_at_servers_of_their_own(tmp_path: Path) -> None:
    own = {
        "PIPELINE_HOME": str(tmp_path),
        "PIPELINE_HBASE_GATEWAYS": "thrift-1:9090",
        "PIPELINE_WAREHOUSE": "hdfs://lake:8020/x",
    }
    environment = Stack.from_environment(own).environment()
    assert own.items() <= environment.items()


def test_a_shell_with_one_stacks_environment_does_not_point_the_next_at_its_servers(
    local: Stack, tmp_path: Path
) -> None:
    shell = {**local.environment(), "PIPELINE_HOME": str(tmp_path / "next"), "PIPELINE_PORT_OFFSET": "200"}
    following = Settings.from_environment(Stack.from_environment(shell).environment())
    assert following.gateways() == (("127.0.0.1", 19290),)
    assert following.warehouse == f"file://{tmp_path}/next/lake"


def test_secrets_are_private_and_last(local: Stack) -> None:
    again = Stack(home=local.home, offset=100)
    assert again.secrets == local.secrets
    for file in (local.home / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("variable", "value"), [("PIPELINE_LAKE", "tape"), ("PIPELINE_PORT_OFFSET", "-1")])
def test_a_wrong_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{variable.removeprefix('PIPELINE_')}.*{re.escape(value)}"):
        Stack.from_environment({variable: value})


def test_a_home_may_have_signs_that_mean_something_in_a_file_of_configuration(tmp_path: Path) -> None:
    stack = Stack(home=tmp_path / "R&D <x>", offset=100)
    folder = write_configuration(stack)
    assert _properties(folder / "hbase" / "hbase-site.xml")["hbase.rootdir"] == f"file://{stack.home}/hbase/data"
    name = urlsplit(_properties(folder / "hdfs" / "hdfs-site.xml")["dfs.namenode.name.dir"])
    assert unquote(name.path) == f"{stack.home}/hdfs/name"
    options = ServerOptions()
    options.realize(["-c", str(write_supervisor_configuration(stack, chosen(stack)))])
    assert options.logfile == f"{stack.home}/logs/supervisor.log"
    programs = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert programs["hbase"].stdout_logfile == f"{stack.home}/logs/hbase.log"
    assert f"-Djava.io.tmpdir={stack.home}/scratch" in shlex.split(programs["hbase"].command)


@pytest.mark.parametrize("name", ["50%", "a:b", "a,b", "a*", "a\nb", "$HOME"])
def test_a_home_that_servers_would_misread_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"PIPELINE_HOME: got .* expected a path without"):
        Stack.from_environment({"PIPELINE_HOME": f"/srv/{name}"})


def test_every_address_in_the_configuration_is_this_machine(local: Stack) -> None:
    folder = write_configuration(local)
    named = {
        "hbase/hbase-site.xml": r"(ipaddress|ipc\.address|bindAddress|hostname|quorum)$",
        "hdfs/hdfs-site.xml": r"(address|hostname)$",
    }
    for file, pattern in named.items():
        found = {name: value for name, value in _properties(folder / file).items() if re.search(pattern, name)}
        assert len(found) >= 6
        assert {value.split(":")[0] for value in found.values()} == {"127.0.0.1"}


def test_what_programs_need_is_in_the_table() -> None:
    for program in PROGRAMS.values():
        assert set(program.needs) <= set(PROGRAMS)
        assert set(program.ports) <= set(PORTS)


@pytest.mark.parametrize(
    ("lake", "only", "expected"),
    [
        ("local", ("thrift",), ["hbase", "thrift"]),
        ("hdfs", ("thrift",), ["namenode", "datanode", "hbase", "thrift"]),
        ("local", ("airflow",), ["postgres", "airflow-database", "airflow-api", "airflow-scheduler", "airflow-dags"]),
    ],
)
def test_a_program_brings_what_it_needs(tmp_path: Path, lake: str, only: tuple[str, ...], expected: list[str]) -> None:
    stack = Stack.from_environment({"PIPELINE_HOME": str(tmp_path), "PIPELINE_LAKE": lake})
    assert [program.name for program in chosen(stack, only)] == expected


def test_an_unknown_program_is_an_error(local: Stack) -> None:
    with pytest.raises(ValueError, match="got service 'kafka', expected one of"):
        chosen(local, ("kafka",))


def test_a_taken_port_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    stack = Stack(home=tmp_path, offset=free_offset())
    with (
        socket.create_server(("127.0.0.1", stack.port("connect"))),
        pytest.raises(StackError, match="PIPELINE_PORT_OFFSET"),
    ):
        up(stack, ("connect",), attached=True)


def test_a_home_of_an_earlier_version_is_told_in_one_line_how_to_start_anew(tmp_path: Path) -> None:
    earlier = tmp_path / "airflow" / "airflow.db"
    earlier.parent.mkdir()
    earlier.touch()
    with pytest.raises(StackError, match=f"rm -r {earlier.parent}") as error:
        up(Stack(home=tmp_path, offset=free_offset()), ("airflow",), attached=True)
    assert len(str(error.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == [earlier.parent]


def _properties(path: Path) -> dict[str, str]:
    entries = ElementTree.parse(path).getroot().findall("property")
    return {str(entry.findtext("name")): str(entry.findtext("value")) for entry in entries}


def test_a_shell_of_the_stack_is_not_told_of_what_airflow_lacks_but_of_all_else(
    local: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    said = "Could not import graphviz. Rendering", "Using `httpx` with `starlette.testclient`", "our own"
    code = f"import warnings\nfor text in {said!r}: warnings.warn(text)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=local.environment(), capture_output=True, text=True, check=True
    )
    assert [line for line in done.stderr.splitlines() if "Warning" in line] == ["<string>:2: UserWarning: our own"]
