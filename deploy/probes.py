"""Find out over the network whether a server serves; each probe answers within a few seconds. Standard library only."""

from __future__ import annotations

import json
import socket
from typing import Any

_TIMEOUT_S = 20.0


def _text(field: int, value: bytes) -> bytes:
    return b"\x0b" + field.to_bytes(2) + len(value).to_bytes(4) + value


# Thrift's binary protocol: getRow(tableName, row, attributes) on the table that knows where all others are, for a row
# it has not.
_NAME = b"\x00\x00\x00\x06getRow" + b"\x00\x00\x00\x00"
_NO_ATTRIBUTES = b"\x0d\x00\x03" + b"\x0b\x0b" + b"\x00\x00\x00\x00"
_GET_ROW = b"\x80\x01\x00\x01" + _NAME + _text(1, b"hbase:meta") + _text(2, b"-") + _NO_ATTRIBUTES + b"\x00"
_IS_REPLY = b"\x80\x01\x00\x02" + _NAME + b"\x0f\x00\x00"
"""The beginning of an answer with a list in field 0; an exception would have a struct in field 1."""


def listens(host: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_S):
            return True
    except OSError:
        return False


def thrift_answers(host: str, port: int) -> bool:
    """Whether HBase reads through Thrift: a fresh server accepts connections before the master is ready or its first
    region is up."""
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(_GET_ROW)
            return _received(connection, len(_IS_REPLY)) == _IS_REPLY
    except OSError:
        return False


def _received(connection: socket.socket, size_bytes: int) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read(size_bytes)


def hdfs_is_writable(host: str, http_port: int) -> bool:
    """Whether a DataNode has joined and the NameNode, whose web server is asked, has left safe mode."""
    content = json_at(f"http://{host}:{http_port}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState")
    beans = content.get("beans") or [{}]
    return bool(beans[0].get("NumLiveDataNodes")) and bool(beans[0].get("FSState") == "Operational")


def airflow_health(url: str) -> dict[str, dict[str, str]]:
    """The state of Airflow's components by name, as its health page says; empty while it does not answer."""
    return json_at(f"{url}/api/v2/monitor/health")


def airflow_is_healthy(url: str, component: str) -> bool:
    """Whether a component of Airflow shows its heartbeat: `scheduler`, `dag_processor` or `triggerer`."""
    return airflow_health(url).get(component, {}).get("status") == "healthy"


def search_answers(url: str) -> bool:
    """Whether the search service answers; it can search once there is an index."""
    return json_at(f"{url}/health").get("status") == "ok"


def json_at(address: str) -> dict[str, Any]:
    """The JSON object at an address; empty while nothing sensible answers."""
    import urllib.request  # slow to import, and most probes do without

    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            content = json.load(answer)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
