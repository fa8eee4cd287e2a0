"""Real servers for tests: each starts when a test first asks for it and stops at the end of the session.

All of a process share one stack at a free port offset, with its files in pytest's temporary folder.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import pytest

from deploy.postgres_server import remove_databases
from deploy.services import down, free_offset, up
from deploy.stack import Stack
from spark_jobs.settings import Settings
from tests.spark_jobs.lake import Lake

SHARES = (("spark_jobs", "stack"), ("", "stack"), ("spark", "context"), ("end_to_end", ""), ("", ""))
"""Folder of tests and a fixture: tests of the first row that fits begin first. Those with servers stay together, others by file."""

# A shell that starts the tests in the background has them ignore SIGINT, and so every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as a busy machine lets it: no test asserts a time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share the tests out between processes: what uses the same servers goes to one, and the longest begin first."""
    turns = {}
    for item in items:
        folder, fixtures = item.path.parts, getattr(item, "fixturenames", ())
        turn = next(n for n, (part, used) in enumerate(SHARES) if part in (*folder, "") and used in (*fixtures, ""))
        turns[item] = turn
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(f"servers {turn}" if SHARES[turn][1] else str(item.path)))
    items.sort(key=turns.__getitem__)


@pytest.fixture(scope="session", autouse=True)
def no_database_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove at the end what the stacks of the session have outside pytest's temporary folder."""
    yield
    remove_databases(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The session's stack on the local disk; nothing of it runs before a fixture below starts it."""
    unscheduled = {"PIPELINE_SCHEDULE": "off"}  # a DAG that a test unpauses starts no run of its own
    stack = Stack(tmp_path_factory.mktemp("stack"), free_offset(), overrides=unscheduled)
    yield stack
    down(stack)


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
def postgres(stack: Stack) -> Stack:
    """The stack with PostgreSQL running, at `stack.database_url`."""
    up(stack, ("postgres",), attached=True)
    return stack


@pytest.fixture(scope="session")
def airflow(stack: Stack) -> Stack:
    """The stack with Airflow's servers running at `stack.airflow_url`."""
    up(stack, ("airflow",), attached=True)
    return stack
