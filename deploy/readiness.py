"""Whether a server of the stack serves: one probe per program, each answers within a few seconds."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from deploy.stack import Stack

_PROBE_TIMEOUT_S = 3.0


def region_server_listens(stack: Stack) -> bool:
    """Whether HBase's region server takes connections (its master comes up just before)."""
    return _listens(stack.port("hbase_regionserver"))


def connect_listens(stack: Stack) -> bool:
    """Whether the Spark Connect server takes connections; it opens its port once its Spark session is up."""
    return _listens(stack.port("connect"))


def thrift_answers(stack: Stack) -> bool:
    """Whether HBase answers through Thrift: a fresh server accepts connections before the master is ready."""
    if not _listens(stack.port("thrift")):
        return False
    import happybase
    from thriftpy2.thrift import TException

    try:
        connection = happybase.Connection("127.0.0.1", stack.port("thrift"), timeout=int(_PROBE_TIMEOUT_S * 1000))
        try:
            connection.tables()
        finally:
            connection.close()
    except (OSError, TException):
        return False
    return True


def namenode_answers(stack: Stack) -> bool:
    """Whether the NameNode takes calls."""
    return _listens(stack.port("namenode"))


def hdfs_is_writable(stack: Stack) -> bool:
    """Whether a DataNode has joined and the NameNode has left safe mode."""
    state = _namenode_bean(stack, "FSNamesystemState")
    return state.get("NumLiveDataNodes", 0) > 0 and state.get("FSState") == "Operational"


def airflow_api_answers(stack: Stack) -> bool:
    """Whether Airflow's REST interface answers."""
    return bool(_airflow_health(stack))


def airflow_component(name: str) -> Callable[[Stack], bool]:
    """A probe of an Airflow component's heartbeat, as the health page tells it."""
    return lambda stack: _airflow_health(stack).get(name, {}).get("status") == "healthy"


def _airflow_health(stack: Stack) -> dict[str, dict[str, str]]:
    content = _get_json(f"{stack.airflow_url}/api/v2/monitor/health")
    return content if isinstance(content, dict) else {}


def _namenode_bean(stack: Stack, name: str) -> dict[str, Any]:
    address = f"http://127.0.0.1:{stack.port('namenode_http')}/jmx?qry=Hadoop:service=NameNode,name={name}"
    content = _get_json(address)
    beans = content.get("beans", []) if isinstance(content, dict) else []
    return beans[0] if beans else {}


def _get_json(address: str) -> object:
    """The JSON behind an address of this machine, None while nothing sensible answers."""
    try:
        with urllib.request.urlopen(address, timeout=_PROBE_TIMEOUT_S) as answer:
            return json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PROBE_TIMEOUT_S):
            return True
    except OSError:
        return False
