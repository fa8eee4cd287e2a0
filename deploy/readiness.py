"""Whether a server of the stack serves: one probe per program, each answers within a few seconds."""

from __future__ import annotations

from collections.abc import Callable

from deploy import probes
from deploy.stack import Stack

_HERE = "127.0.0.1"


def listens_on(server: str) -> Callable[[Stack], bool]:
    """A probe of whether a server of `stack.PORTS` takes connections."""
    return lambda stack: probes.listens(_HERE, stack.port(server))


def thrift_answers(stack: Stack) -> bool:
    """Whether HBase answers through Thrift."""
    return probes.thrift_answers(_HERE, stack.port("thrift"))


def hdfs_is_writable(stack: Stack) -> bool:
    """Whether a DataNode has joined and the NameNode has left safe mode."""
    return probes.hdfs_is_writable(_HERE, stack.port("namenode_http"))


def airflow_api_answers(stack: Stack) -> bool:
    """Whether Airflow's REST interface answers."""
    return bool(probes.airflow_health(stack.airflow_url))


def airflow_component(name: str) -> Callable[[Stack], bool]:
    """A probe of an Airflow component's heartbeat, as the health page tells it."""
    return lambda stack: probes.airflow_health(stack.airflow_url).get(name, {}).get("status") == "healthy"
