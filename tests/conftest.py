"""Real servers for tests: each starts when a test first asks for it and stops at the end of the session.

All of a session share one stack at a free port offset, with its files in pytest's temporary folder; HDFS has its own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from deploy import stack as stacks
from deploy.services import down, free_offset, up
from deploy.stack import Stack
from spark_jobs.settings import Settings
from tests.spark_jobs.lake import Lake

MakeStack = Callable[[stacks.Lake], Stack]

# A shell that starts the tests in the background has them ignore SIGINT, and so every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeStack]:
    """A function that gives a fresh stack of its own, not yet started; it is stopped at the end of the session."""
    made: list[Stack] = []

    def make(lake: stacks.Lake) -> Stack:
        unscheduled = {"PIPELINE_SCHEDULE": "off"}  # a DAG that a test unpauses starts no run of its own
        made.append(Stack(tmp_path_factory.mktemp("stack"), free_offset(), lake, overrides=unscheduled))
        return made[-1]

    yield make
    for stack in made:
        down(stack)


@pytest.fixture(scope="session")
def stack(make_stack: MakeStack) -> Stack:
    """The session's stack on the local disk; nothing of it runs before a fixture below starts it."""
    return make_stack("local")


@pytest.fixture(scope="session")
def hbase(stack: Stack) -> Stack:
    """The stack with HBase and its Thrift server running, on `stack.port("thrift")`."""
    up(stack, ("thrift",), attached=True)
    return stack


@pytest.fixture(scope="session")
def connect_server(stack: Stack) -> Stack:
    """The stack with a Spark Connect server running: `Settings.from_environment(stack.environment())` describes it."""
    up(stack, ("connect",), attached=True)
    return stack


@pytest.fixture(scope="session")
def lake(connect_server: Stack) -> Lake:
    """The tables behind the Spark Connect server, and ways to run jobs on them."""
    return Lake(Settings.from_environment(connect_server.environment()), connect_server.full_environment())


@pytest.fixture(scope="session")
def airflow(stack: Stack) -> Stack:
    """The stack with Airflow's servers running at `stack.airflow_url`."""
    up(stack, ("airflow",), attached=True)
    return stack


@pytest.fixture(scope="session")
def hdfs(make_stack: MakeStack) -> Stack:
    """A stack of its own with a NameNode and a DataNode running: `hdfs://127.0.0.1:{stack.port("namenode")}`."""
    stack = make_stack("hdfs")
    up(stack, ("hdfs",), attached=True)
    return stack
