"""The programs of a stack, as a table: what each runs, waits for, listens on, and when it is ready.

To add one, add a row here (and its ports in `stack.PORTS`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy import probes
from deploy.postgres_server import dags_are_read, database_answers
from deploy.servers import airflow_server, connect_server, java_server
from deploy.stack import Stack

_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Program:
    """One process that the supervisor keeps running.

    name, title: for commands and for people.
    command: its arguments.
    is_ready: whether it serves (None: it runs once, and is ready when it has succeeded).
    needs: programs that must be ready before it starts.
    ports: names in `stack.PORTS`. group: a name that stands for several programs.   lake: the only lake it belongs to,
        or None for both.
    limit_s: how long it may take to become ready.
    stop_signal: what asks it to stop.
    stop_s: how long it may take to stop before it is killed.
    """

    name: str
    title: str
    command: Callable[[Stack], list[str]]
    is_ready: Callable[[Stack], bool] | None
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    group: str = ""
    lake: str | None = None
    limit_s: float = 1200.0
    stop_signal: str = "TERM"
    stop_s: int = 20


def _module(name: str) -> Callable[[Stack], list[str]]:
    return lambda stack: [sys.executable, "-m", name]


def _listens(server: str) -> Callable[[Stack], bool]:
    return lambda stack: probes.listens(_HERE, stack.port(server))


_TABLE = (
    Program(
        name="namenode",
        title="HDFS NameNode",
        command=_module("deploy.namenode"),
        is_ready=_listens("namenode"),
        ports=("namenode", "namenode_http"),
        group="hdfs",
        lake="hdfs",
    ),
    Program(
        name="datanode",
        title="HDFS DataNode",
        command=lambda stack: java_server("datanode", stack.home, "256m"),
        is_ready=lambda stack: probes.hdfs_is_writable(_HERE, stack.port("namenode_http")),
        needs=("namenode",),
        ports=("datanode", "datanode_http", "datanode_ipc"),
        group="hdfs",
        lake="hdfs",
    ),
    Program(
        name="hbase",
        title="HBase: master, region server, ZooKeeper",
        command=lambda stack: java_server("hbase-master", stack.home, "1g"),
        # Its master comes up just before.
        is_ready=_listens("hbase_regionserver"),
        ports=("hbase_master", "hbase_regionserver", "zookeeper"),
        needs=("datanode",),
        # Killed then: its write-ahead log has everything, but while it is starting up it may wait for half a minute.
        stop_s=15,
    ),
    Program(
        name="thrift",
        title="HBase Thrift server",
        command=lambda stack: java_server("thrift", stack.home, "512m"),
        is_ready=lambda stack: probes.thrift_answers(_HERE, stack.port("thrift")),
        ports=("thrift",),
        needs=("hbase",),
    ),
    Program(
        name="connect",
        title="Spark Connect server",
        command=lambda stack: connect_server(),
        # It opens its port once its Spark session is up.
        is_ready=_listens("connect"),
        ports=("connect",),
        needs=("datanode",),
    ),
    Program(
        name="postgres",
        title="PostgreSQL, for Airflow",
        command=_module("deploy.postgres_server"),
        is_ready=database_answers,
        ports=("postgres",),
        # Ends the clients' sessions instead of waiting for them.
        stop_signal="INT",
    ),
    Program(
        name="airflow-database",
        title="Airflow's tables",
        command=_module("deploy.airflow_database"),
        is_ready=None,
        needs=("postgres",),
        group="airflow",
    ),
    Program(
        name="airflow-api",
        title="Airflow's pages and REST interface",
        command=lambda stack: airflow_server("airflow-api"),
        is_ready=lambda stack: bool(probes.airflow_health(stack.airflow_url)),
        ports=("airflow",),
        needs=("postgres", "airflow-database"),
        stop_s=6,
        group="airflow",
    ),
    Program(
        name="airflow-scheduler",
        title="Airflow scheduler",
        command=lambda stack: airflow_server("airflow-scheduler"),
        is_ready=lambda stack: probes.airflow_is_healthy(stack.airflow_url, "scheduler"),
        # Started before the api-server answers, its first tasks fail.
        needs=("airflow-api",),
        group="airflow",
    ),
    Program(
        name="airflow-triggerer",
        title="Airflow triggerer",
        command=lambda stack: airflow_server("airflow-triggerer"),
        # No task of ours defers, but Airflow's first page is red without one; the group does without.
        is_ready=lambda stack: probes.airflow_is_healthy(stack.airflow_url, "triggerer"),
        needs=("airflow-api",),
    ),
    Program(
        name="airflow-dags",
        title="Airflow DAG processor",
        command=lambda stack: airflow_server("airflow-dags"),
        is_ready=lambda stack: probes.airflow_is_healthy(stack.airflow_url, "dag_processor") and dags_are_read(stack),
        needs=("postgres", "airflow-database"),
        stop_s=6,
        group="airflow",
    ),
    Program(
        name="search",
        title="Search service",
        command=_module("search_service"),
        is_ready=lambda stack: probes.search_answers(stack.search_url),
        ports=("search",),
        # It ends what is under way first.
        stop_s=35,
    ),
)

PROGRAMS: Mapping[str, Program] = {program.name: program for program in _TABLE}
"""Every program by name, in the order in which they start."""


def chosen(stack: Stack, only: tuple[str, ...] = ()) -> list[Program]:
    """The programs of the stack's lake, or only the named ones (programs or groups) and what they need.

    Raises:
        ValueError: a name is neither a program nor a group.
    """
    present = {name: program for name, program in PROGRAMS.items() if program.lake in (None, stack.lake)}
    if not only:
        return list(present.values())
    wanted: set[str] = set()
    pending = [name for entry in only for name in _members(entry, present)]
    while pending:
        name = pending.pop()
        if name in present and name not in wanted:
            wanted.add(name)
            pending += present[name].needs
    return [program for program in present.values() if program.name in wanted]


def _members(entry: str, present: Mapping[str, Program]) -> list[str]:
    members = [program.name for program in present.values() if entry in (program.name, program.group)]
    if not members:
        known = sorted({*present, *(program.group for program in present.values() if program.group)})
        raise ValueError(f"got service {entry!r}, expected one of {', '.join(known)}")
    return members
