"""What runs in a container of docker-compose.yml, as a table: `python -m deploy.container thrift` becomes the Thrift
server, `python -m deploy.container check thrift` ends with 0 once it serves, `python -m deploy.container hbase CLASS`
runs a class of HBase.
Any other command runs as it stands.

Standard library only: the image of the Java servers has nothing else. To add a service, add a row here and one in
docker-compose.yml.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy import probes
from deploy.java import java_command
from deploy.servers import airflow_server, connect_server, java_server, namenode

HOME = Path(os.environ.get("PIPELINE_HOME", "/srv/pipeline"))
USERS = ("admin", "operator", "viewer")
"""Airflow's users; the password of each comes as AIRFLOW_<USER>_PASSWORD."""


@dataclass(frozen=True)
class Service:
    """One container. command: makes the command that it becomes. serves: whether it serves, asked from inside."""

    command: Callable[[], list[str]]
    serves: Callable[[], bool]


def _heap() -> str:
    return os.environ["PIPELINE_HEAP"]


def _java(server: str, *arguments: str) -> Callable[[], list[str]]:
    return lambda: java_server(server, HOME, _heap(), *arguments)


def _spark_daemon(main: str, *arguments: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        os.environ["SPARK_DAEMON_MEMORY"] = _heap()
        return ["spark-class", f"org.apache.spark.deploy.{main}", *arguments]

    return command


def _spark_worker() -> list[str]:
    options = [
        "--cores",
        "1",
        "--memory",
        os.environ["PIPELINE_EXECUTOR_MEMORY"],
        "--work-dir",
        str(HOME / "scratch" / "work"),
    ]
    return _spark_daemon("worker.Worker", *options, "spark://spark-master:7077")()


def _connect() -> list[str]:
    from spark_jobs.settings import Settings, static_spark_conf

    conf = {
        **static_spark_conf(Settings.from_environment()),
        "spark.driver.memory": _heap(),
        "spark.executor.memory": os.environ["PIPELINE_EXECUTOR_MEMORY"],
    }
    options = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
    return connect_server(*options)


def _airflow_api() -> list[str]:
    """Airflow's API server. The passwords move from its variables into a file that only it reads."""
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({user: os.environ.pop(f"AIRFLOW_{user.upper()}_PASSWORD") for user in USERS}, file)
    return airflow_server("airflow-api")


def _listens(port: int) -> Callable[[], bool]:
    # By its name: HBase listens on the address of that alone.
    return lambda: probes.listens(socket.gethostname(), port)


def _is_healthy(component: str) -> Callable[[], bool]:
    url = os.environ.get("PIPELINE_AIRFLOW_URL", "http://airflow-api:8080")
    return lambda: probes.airflow_is_healthy(url, component)


SERVICES = {
    "namenode": Service(lambda: namenode(HOME, _heap()), _listens(9870)),
    "datanode": Service(
        _java("datanode"),
        lambda: probes.listens("localhost", 9866) and probes.hdfs_is_writable("namenode", 9870),
    ),
    "zookeeper": Service(
        _java("zookeeper", "2181", str(HOME / "zookeeper")),
        _listens(2181),
    ),
    "hbase-master": Service(_java("hbase-master"), _listens(16000)),
    "regionserver": Service(_java("regionserver"), _listens(16020)),
    "thrift": Service(
        _java("thrift"),
        lambda: probes.thrift_answers("localhost", 9090),
    ),
    "spark-master": Service(
        _spark_daemon("master.Master", "--host", "spark-master", "--port", "7077", "--webui-port", "8080"),
        lambda: probes.json_at("http://localhost:8080/json/").get("status") == "ALIVE",
    ),
    "spark-worker": Service(
        _spark_worker, lambda: bool(probes.json_at("http://localhost:8081/json/").get("masterurl"))
    ),
    "connect": Service(_connect, _listens(15002)),
    "airflow-api": Service(_airflow_api, lambda: bool(probes.airflow_health("http://localhost:8080"))),
    "airflow-scheduler": Service(lambda: airflow_server("airflow-scheduler"), _is_healthy("scheduler")),
    "airflow-dags": Service(lambda: airflow_server("airflow-dags"), _is_healthy("dag_processor")),
    "search": Service(
        lambda: [sys.executable, "-m", "search_service"], lambda: probes.search_answers("http://localhost:8090")
    ),
    "airflow-triggerer": Service(lambda: airflow_server("airflow-triggerer"), _is_healthy("triggerer")),
}


def command_of(name: str, *arguments: str) -> list[str]:
    """The command for a service or a class of HBase; anything else is a command itself."""
    if name == "hbase":
        return java_command(HOME, "hbase", _heap(), *arguments)
    return SERVICES[name].command() if name in SERVICES else [name, *arguments]


def main() -> None:
    """Become what the arguments name, or check a service."""
    if sys.argv[1] == "check":
        sys.exit(0 if SERVICES[sys.argv[2]].serves() else 1)
    command = command_of(*sys.argv[1:])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
