"""Check Spark connections before a job is started: a missing one or a dead server is an error within seconds.

The provider takes a missing connection for YARN, and a Spark Connect client retries a wrong port for minutes.
"""

from __future__ import annotations

import re
import socket
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

PROBE_TIMEOUT_S = 5.0
DEFAULT_PORTS = {"spark_connect": 15002, "spark": 7077}
ADDRESS = re.compile(r"^(?:(?:sc|spark)://)?(?P<host>[^:/,\[\]*]+)(?::(?P<port>\d+))?")
NO_SERVER = ("local", "yarn", "k8s:")


def checked_connection(conn_id: str, allowed: tuple[str, ...]) -> Any:
    """The Airflow connection, after its server has answered.

    allowed: connection types the stage can run on.

    Raises:
        AirflowFailException: the connection is missing or of another type (not retried).
        AirflowException: nothing listens at its address (retried).
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"connection {conn_id!r} is missing; add it: airflow connections add {conn_id} --conn-type {allowed[0]} "
            f"--conn-host HOST --conn-port {DEFAULT_PORTS[allowed[0]]}"
        ) from None
    if connection.conn_type not in allowed:
        raise AirflowFailException(
            f"connection {conn_id!r}: got type {connection.conn_type!r}, expected {' or '.join(allowed)}; "
            "this stage cannot run on it, choose another connection"
        )
    address = server_address(connection)
    if address is not None:
        probe(conn_id, *address)
    return connection


def server_address(connection: Any) -> tuple[str, int] | None:
    """Host and port of the server behind a connection; None if it needs none (local, YARN, Kubernetes)."""
    host = connection.host or ""
    if connection.conn_type == "spark" and host.startswith(NO_SERVER):
        return None
    found = ADDRESS.match(host)
    if found is None:
        raise AirflowFailException(
            f"connection {connection.conn_id!r}: got host {host!r}, expected a host name or address"
        )
    port = connection.port or found["port"] or DEFAULT_PORTS[connection.conn_type]
    return found["host"], int(port)


def probe(conn_id: str, host: str, port: int) -> None:
    """Connect once by TCP and hang up.

    Raises:
        AirflowException: nothing answers within PROBE_TIMEOUT_S.
    """
    try:
        socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise AirflowException(
            f"connection {conn_id!r}: nothing answers at {host}:{port} ({error}); start the server or correct the "
            f"connection's "
            "host and port"
        ) from error
