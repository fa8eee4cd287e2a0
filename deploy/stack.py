"""One local stack: where its files lie, which ports it takes, and the environment in which its processes run.

    from deploy.stack import Stack
    stack = Stack(home=Path("/srv/pipeline"), offset=100)
    stack.port("thrift")            # 19190
    stack.environment()             # every PIPELINE_, AIRFLOW and SPARK variable, secrets included

Everything is written under `home`; every port is moved by `offset`, so that two stacks can share a machine.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shlex import join
from typing import Literal, get_args
from urllib.parse import quote

from deploy import REPOSITORY
from deploy.java import iceberg_jar, java_command

MARKER = "PIPELINE_STACK"
"""The variable that every process of a stack inherits, so that none is missed; its value is the stack's home."""

Lake = Literal["local", "hdfs"]

PORTS: Mapping[str, int] = {
    "thrift": 19090,
    "hbase_master": 16000,
    "hbase_regionserver": 16020,
    "zookeeper": 12181,
    "connect": 15002,
    "airflow": 18080,
    "postgres": 15432,
    "search": 18090,
    "namenode": 18020,
    "namenode_http": 19870,
    "datanode": 19866,
    "datanode_http": 19864,
    "datanode_ipc": 19867,
}
"""The port of each server at offset 0."""

_TOKENS = ("connect_token", "metrics_token", "search_token", "search_operator_token")

ROLES = ("viewer", "user", "op", "admin")
"""The roles of Airflow's simple auth manager; each has the rights of those before it."""

HBASE_POOL = "hbase"
"""The Airflow pool of the tasks that read HBase."""

_USERS_OWN = (
    "PIPELINE_HBASE_GATEWAYS",
    "PIPELINE_HBASE_TABLE",
    "PIPELINE_WAREHOUSE",
    "PIPELINE_CONNECT_URL",
    "PIPELINE_CONNECT_TOKEN",
    "PIPELINE_MODELS",
    "PIPELINE_REPORTS",
    "PIPELINE_INDEX",
    "PIPELINE_SCHEDULE",
    "PIPELINE_SPARK_CONNECTION",
    "PIPELINE_ALERT_URL",
    "PIPELINE_DEADLINE_HOURS",
    "PIPELINE_STAGE_HOURS",
    "PIPELINE_REFERENCE_DAY",
    "PIPELINE_PLACEHOLDERS",
    "PIPELINE_METADATA_COLUMNS",
    "PIPELINE_INDEX_FILTERS",
    "PIPELINE_EXPORTS",
    "PIPELINE_TRAININGS",
    "PIPELINE_USERS",
    "AIRFLOW_CONN_SPARK_CONNECT",
    "AIRFLOW_CONN_SPARK_DEFAULT",
)
"""Variables with which users point the stack at servers and folders of their own; the stack keeps them."""

_SPECIAL = '%:;,*?[]$"\\'
"""Characters that the path of a home may not have: class paths, lists of folders, patterns and values of Airflow and
supervisor use them."""

NOT_OURS = "ignore:Could not import graphviz,ignore:Using `httpx` with"
"""What Airflow's commands would warn of each time: of libraries that only Airflow's own pictures and tests use. Any
value here also keeps Airflow from showing its libraries' deprecations."""
_KEPT = "PIPELINE_KEPT"
"""The variable in the stack's environment that says which of these were the user's. Without it, a shell with the
environment of one stack would point the next stack at the first one's servers."""


@dataclass(frozen=True)
class Stack:
    """The servers of one machine, started and stopped together.

    home: folder of everything they write.   offset: added to every port.   lake: where HBase and the lake keep their
    files, the local disk or HDFS.   cores: how many tasks Spark runs at once.   overrides: variables that win over
    those the stack would set, for example `{"PIPELINE_HBASE_GATEWAYS": "thrift-1:9090"}`.
    """

    home: Path
    offset: int = 0
    lake: Lake = "local"
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    overrides: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, lake: Lake | None = None) -> Stack:
        """The stack that PIPELINE_HOME, PIPELINE_PORT_OFFSET and PIPELINE_LAKE describe; by default `var`, 0 and local.

        Raises:
            ValueError: the offset is not a number, the lake is unknown, or the home's path has a character with a
                meaning for a server.
        """
        variables = os.environ if environment is None else environment
        kind = lake or variables.get("PIPELINE_LAKE") or "local"
        if kind not in get_args(Lake):
            raise ValueError(f"LAKE: got {kind!r}, expected one of {', '.join(get_args(Lake))}")
        offset = variables.get("PIPELINE_PORT_OFFSET") or "0"
        if not offset.isdecimal():
            raise ValueError(f"PIPELINE_PORT_OFFSET: got {offset!r}, expected a whole number, for example 100")
        own = variables[_KEPT].split() if _KEPT in variables else _USERS_OWN
        home = Path(variables.get("PIPELINE_HOME") or REPOSITORY / "var").absolute()
        if wrong := sorted({sign for sign in str(home) if sign in _SPECIAL or not sign.isprintable()}):
            raise ValueError(
                f"PIPELINE_HOME: got {str(home)!r} with {' '.join(map(repr, wrong))}, expected a path without "
                f"{' '.join(_SPECIAL)}: Java, Spark, Airflow and supervisor take these for their own; choose another "
                f"folder"
            )
        return cls(
            home=home,
            offset=int(offset),
            lake="hdfs" if kind == "hdfs" else "local",
            overrides={name: variables[name] for name in own if variables.get(name)},
        )

    def port(self, server: str) -> int:
        """The port of a server of `PORTS`."""
        return PORTS[server] + self.offset

    def folder(self, name: str) -> Path:
        """A folder below `home`, created if it is missing."""
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def warehouse(self) -> str:
        """URI of the Iceberg warehouse."""
        own = self.overrides.get("PIPELINE_WAREHOUSE")
        return own or (
            f"hdfs://127.0.0.1:{self.port('namenode')}/lake" if self.lake == "hdfs" else f"file://{self.home}/lake"
        )

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's pages and REST interface."""
        return f"http://127.0.0.1:{self.port('airflow')}"

    @property
    def search_url(self) -> str:
        """Address of the search service's page and API."""
        return f"http://127.0.0.1:{self.port('search')}"

    @property
    def database_url(self) -> str:
        """Address of Airflow's database, with its password."""
        return f"postgresql://airflow:{self.secrets['database_password']}@127.0.0.1:{self.port('postgres')}/airflow"

    @cached_property
    def secrets(self) -> Mapping[str, str]:
        """Tokens and passwords of this stack, drawn once and kept in a file that only its owner reads."""
        path = self.folder("secrets") / "secrets.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        passwords = {name: _password_of(name) for name in self.users}
        names = (*_TOKENS, "database_password", "jwt", "cookie", *passwords.values())
        drawn = {name: secrets.token_urlsafe(48) for name in names} | {
            "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode()
        }
        if drawn.keys() - kept.keys():
            kept = drawn | kept
            _write_private(path, kept)
        _write_private(path.with_name("airflow_passwords.json"), {user: kept[name] for user, name in passwords.items()})
        return kept

    @property
    def users(self) -> Mapping[str, str]:
        """Who may log in to Airflow, and in which role (viewer, user, op or admin): `admin`, and those of
        PIPELINE_USERS.

        Raises:
            ValueError: an entry is not `name:role`.
        """
        entries = (self.overrides.get("PIPELINE_USERS") or "operator:op,viewer:viewer").split(",")
        pairs = [tuple(entry.strip().split(":")) for entry in entries]
        if wrong := [":".join(pair) for pair in pairs if len(pair) != 2 or pair[1] not in ROLES]:
            raise ValueError(
                f"PIPELINE_USERS: got {wrong[0]!r}, expected name:role entries separated by commas, the role one of "
                f"{', '.join(ROLES)}"
            )
        return {"admin": "admin", **{name: role for name, role in pairs if name != "admin"}}

    def environment(self) -> dict[str, str]:
        """The variables of every process of the stack, and of every client of it."""
        pipeline = {
            "PIPELINE_HOME": str(self.home),
            "PIPELINE_PORT_OFFSET": str(self.offset),
            "PIPELINE_LAKE": self.lake,
            "PIPELINE_HBASE_GATEWAYS": f"127.0.0.1:{self.port('thrift')}",
            "PIPELINE_WAREHOUSE": self.warehouse,
            "PIPELINE_CONNECT_URL": f"sc://localhost:{self.port('connect')}",
            "PIPELINE_CONNECT_TOKEN": self.secrets["connect_token"],
            "PIPELINE_METRICS_TOKEN": self.secrets["metrics_token"],
            "PIPELINE_SEARCH_TOKEN": self.secrets["search_token"],
            "PIPELINE_SEARCH_OPERATOR_TOKEN": self.secrets["search_operator_token"],
            "PIPELINE_SEARCH_PORT": str(self.port("search")),
            "PIPELINE_SEARCH_URL": self.search_url,
            "PIPELINE_HBASE_POOL": HBASE_POOL,
            "PIPELINE_ICEBERG_JAR": str(iceberg_jar()),
            "PIPELINE_HBASE_COMMAND": join(java_command(self.home, "hbase", "256m")),
            _KEPT: " ".join(self.overrides),
            **self.overrides,
        }
        servers = {**self._spark_variables(pipeline), **self._airflow_variables(pipeline)}
        return {**_python_variables(), **servers, **pipeline}

    def full_environment(self) -> dict[str, str]:
        """`environment()` on top of this process's own variables, and the marker by which the stack finds its
        processes."""
        # Airflow renames its processes; SPT_NOENV keeps that from overwriting their variables, and so the marker.
        return {**os.environ, **self.environment(), MARKER: str(self.home), "SPT_NOENV": "1"}

    def _spark_variables(self, pipeline: Mapping[str, str]) -> dict[str, str]:
        return {
            "SPARK_HOME": str(spark_home()),
            "SPARK_CONF_DIR": str(self.home / "configuration" / "spark"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self.home / "scratch"),
            "SPARK_CONNECT_AUTHENTICATE_TOKEN": pipeline["PIPELINE_CONNECT_TOKEN"],
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
        }

    def _airflow_variables(self, pipeline: Mapping[str, str]) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": self.secrets["fernet"],
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(map(":".join, self.users.items())),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "secrets" / "airflow_passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url,
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port("airflow")),
            "AIRFLOW__API__WORKERS": "1",
            # Its page of the REST interface takes its script from the internet; /openapi.json says the same.
            "AIRFLOW__API__ENABLE_SWAGGER_UI": "False",
            "AIRFLOW__API__SECRET_KEY": self.secrets["cookie"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secrets["jwt"],
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs" / "airflow"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.home / "logs" / "dag_processor"),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            # A file that changes is read at the next look in any case; Airflow itself reads all of them every 30 s.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            # A machine of two cores is at times so busy that the usual limits would fail a task for nothing.
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            # After 30 s of standing still the only scheduler would take itself for dead, and start its tasks anew.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
            # A task outlives an api-server that starts anew.
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "12",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "10",
            "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "30",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_SPARK_CONNECT": _connect_connection(pipeline),
            "AIRFLOW_CONN_SPARK_DEFAULT": f"spark://{quote(f'local[{self.cores}]', safe='')}",
        }


def spark_home() -> Path:
    """The Spark that pip installed into this environment."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Path(sys.prefix) / "lib" / version / "site-packages" / "pyspark"


def _python_variables() -> dict[str, str]:
    """Variables for one process per core and one thread per process: two processes of two threads fall to a third of
    the speed."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    paths = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "PATH": binaries}
    return {**one_thread, **paths, "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS") or NOT_OURS}


def _connect_connection(pipeline: Mapping[str, str]) -> str:
    host, _, port = pipeline["PIPELINE_CONNECT_URL"].removeprefix("sc://").partition(":")
    return json.dumps(
        {
            "conn_type": "spark_connect",
            "host": host,
            "port": int(port or 15002),
            "password": pipeline["PIPELINE_CONNECT_TOKEN"],
            # The token travels in clear text on the loopback device; Spark's client would insist on TLS otherwise.
            "extra": {"use_ssl": False},
        }
    )


def _password_of(user: str) -> str:
    """The name of a user's password among the secrets."""
    return "airflow_password" if user == "admin" else f"airflow_password_{user}"


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write JSON that only the owner may read, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
    partial.replace(path)
