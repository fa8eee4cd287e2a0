"""The programs of a stack, as a table: what each runs, waits for, listens on, and when it is ready.

Adding one is a row here (and its ports in `stack.PORTS`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy import readiness
from deploy.java import java_command
from deploy.stack import Stack, spark_home

Command = Callable[[Stack], list[str]]
Probe = Callable[[Stack], bool]


@dataclass(frozen=True)
class Program:
    """One process that the supervisor keeps running.

    name, title: for commands and for people.   command: its arguments.   is_ready: whether it serves (None: it runs
    once, and is ready when it has ended well).   needs: programs that must be ready before it starts.   ports: of `stack.PORTS`.
    group: a name that stands for several programs.   lake: the only lake it belongs to, or None for both.
    limit_s: how long it may take to become ready.   stop_s: how long it may take to stop before it is killed.
    """

    name: str
    title: str
    command: Command
    is_ready: Probe | None
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    group: str = ""
    lake: str | None = None
    limit_s: float = 300.0
    stop_s: int = 20


def _java(service: str, heap: str, main: str, *arguments: str) -> Command:
    return lambda stack: java_command(stack.home, service, heap, main, *arguments)


def _module(name: str, *arguments: str) -> Command:
    return lambda stack: [sys.executable, "-m", name, *arguments]


def _airflow(*arguments: str) -> Command:
    return lambda stack: [str(Path(sys.executable).parent / "airflow"), *arguments]


def _connect_server(stack: Stack) -> list[str]:
    main = "org.apache.spark.sql.connect.service.SparkConnectServer"
    # "spark-internal": the class is in Spark's own jars, there is no application jar.
    return [str(spark_home() / "bin" / "spark-submit"), "--class", main, "--name", "pipeline", "spark-internal"]


_TABLE = (
    Program(
        name="namenode",
        title="HDFS NameNode",
        command=_module("deploy.namenode"),
        is_ready=readiness.listens_on("namenode"),
        ports=("namenode", "namenode_http"),
        group="hdfs",
        lake="hdfs",
    ),
    Program(
        name="datanode",
        title="HDFS DataNode",
        command=_java("hdfs", "256m", "org.apache.hadoop.hdfs.server.datanode.DataNode"),
        is_ready=readiness.hdfs_is_writable,
        needs=("namenode",),
        ports=("datanode", "datanode_http", "datanode_ipc"),
        group="hdfs",
        lake="hdfs",
    ),
    Program(
        name="hbase",
        title="HBase: master, region server, ZooKeeper",
        command=_java("hbase", "1g", "org.apache.hadoop.hbase.master.HMaster", "start"),
        # Its master comes up just before.
        is_ready=readiness.listens_on("hbase_regionserver"),
        ports=("hbase_master", "hbase_regionserver", "zookeeper"),
        needs=("datanode",),
        # Killed then: its write-ahead log has everything, but while it is starting up it may wait for half a minute.
        stop_s=15,
    ),
    Program(
        name="thrift",
        title="HBase Thrift server",
        command=_java("hbase", "512m", "org.apache.hadoop.hbase.thrift.ThriftServer", "start"),
        is_ready=readiness.thrift_answers,
        ports=("thrift",),
        needs=("hbase",),
    ),
    Program(
        name="connect",
        title="Spark Connect server",
        command=_connect_server,
        # It opens its port once its Spark session is up.
        is_ready=readiness.listens_on("connect"),
        ports=("connect",),
        needs=("datanode",),
    ),
    Program(
        name="airflow-database",
        title="Airflow's database",
        command=_module("deploy.airflow_database"),
        is_ready=None,
        group="airflow",
    ),
    Program(
        name="airflow-api",
        title="Airflow's pages and REST interface",
        command=_airflow("api-server"),
        is_ready=readiness.airflow_api_answers,
        ports=("airflow",),
        needs=("airflow-database",),
        stop_s=6,
        group="airflow",
    ),
    Program(
        # Its log server would listen on every address; the api-server reads the same files from the disk.
        name="airflow-scheduler",
        title="Airflow scheduler",
        command=_airflow("scheduler", "--skip-serve-logs"),
        is_ready=readiness.airflow_component("scheduler"),
        # Started before the api-server answers, its first tasks fail.
        needs=("airflow-api",),
        group="airflow",
    ),
    Program(
        name="airflow-dags",
        title="Airflow DAG processor",
        command=_airflow("dag-processor"),
        is_ready=readiness.airflow_component("dag_processor"),
        needs=("airflow-database",),
        stop_s=6,
        group="airflow",
    ),
)

PROGRAMS: Mapping[str, Program] = {program.name: program for program in _TABLE}
"""Every program by name, in the order in which they start."""


def chosen(stack: Stack, only: tuple[str, ...] = ()) -> list[Program]:
    """The programs of the stack's lake, or of those only the named (programs or groups) and what they need.

    Raises ValueError when a name is neither a program nor a group.
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
