"""Real servers for tests: each starts when a test first asks for it and stops at the end of the session.

All of a process share one stack at a free port offset, with its files in pytest's temporary folder.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from deploy.postgres_server import remove_databases
from deploy.services import down, free_offset, up
from deploy.stack import Stack
from spark_jobs.settings import Settings
from tests.spark_jobs.lake import Lake

SHARES = {
    "tests/spark_jobs/stages/": None,
    "tests/spark_jobs/training/": None,
    "tests/spark_jobs/scoring/": None,
    "tests/spark_jobs/": "jobs",
    "tests/end_to_end/test_pipeline.py": "Airflow",
    "tests/dags/": "Airflow",
    "tests/data_contracts/": "Airflow",
    "tests/deploy/": "Airflow",
    "tests/search_service/api/": "Airflow",
    "tests/search_service/pages/": "pages",
    "tests/search_service/test_pictures.py": "Airflow",
}
"""Tests that use the same servers, and so go to one process; the first row that fits counts. All others go by their
file."""
LONGEST = ("jobs", "Airflow", "tests/end_to_end/test_demo.py", "tests/end_to_end/test_readme.py")
"""What begins first."""

# A shell that starts the tests in the background has them ignore SIGINT, and so every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as a busy machine lets it: no test asserts a time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def share_of(nodeid: str) -> str:
    """What goes to one process with a test: the name of its servers, or its file."""
    file = nodeid.partition("::")[0]
    return next((share for start, share in SHARES.items() if nodeid.startswith(start)), None) or file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, so that two processes end at about the same time."""
    turns = {share: turn for turn, share in enumerate(LONGEST)}
    items.sort(key=lambda item: turns.get(share_of(item.nodeid), len(turns)))


class ByServers(LoadScopeScheduling):
    """Shares tests out between processes."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServers:
    """The scheduler of `-n`: that of xdist's own groups does not see them with this version of pytest."""
    return ByServers(config, log)


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
