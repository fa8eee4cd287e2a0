"""Airflow's database: who runs it, where it may lie, what it shows others, and what it outlives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from deploy.postgres_server import database_answers, database_folder
from deploy.services import down, free_offset, remove, up
from deploy.stack import Stack
from deploy.supervision import processes, states
from tests.deploy.listening import listening_addresses
from tests.waiting import wait_for

pytestmark = pytest.mark.services

LONGER_THAN_A_SOCKETS_PATH = "/".join(["a-long-name-of-a-folder"] * 6)


@pytest.fixture(params=["a home for its owner alone", LONGER_THAN_A_SOCKETS_PATH], ids=["0700", "long"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """A stack of which PostgreSQL alone runs."""
    home = tmp_path / request.param
    home.mkdir(parents=True)
    home.chmod(0o700)
    stack = Stack(home, free_offset())
    try:
        up(stack, ("postgres",), attached=True)
        yield stack
    finally:
        remove(stack)


def asked(stack: Stack, statement: str) -> list[tuple[Any, ...]]:
    """What a statement finds, of those that find something; it is committed."""
    with closing(psycopg2.connect(stack.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_it_runs_as_no_root_for_those_with_the_password_and_keeps_its_rows(stack: Stack) -> None:
    server = states(stack)["postgres"].pid
    assert Path(f"/proc/{server}").stat().st_uid != 0
    secrets = {value.encode() for value in stack.secrets.values()}
    assert not [secret for secret in secrets if secret in Path(f"/proc/{server}/environ").read_bytes()]
    assert listening_addresses(processes(stack)) == {("127.0.0.1", stack.port("postgres"))}
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(stack.database_url.replace(stack.secrets["database_password"], "another"))

    asked(stack, "CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: states(stack)["postgres"].pid not in (0, server) and database_answers(stack))
    assert asked(stack, "SELECT number FROM kept") == [(7,)]
    down(stack)
    assert not processes(stack)
    up(stack, ("postgres",), attached=True)
    assert asked(stack, "SELECT number FROM kept") == [(7,)]


def test_what_it_has_is_removed_with_the_home_and_a_home_made_anew_has_a_database_of_its_own(stack: Stack) -> None:
    asked(stack, "CREATE TABLE kept AS SELECT 7 AS number")
    folder = database_folder(stack)
    assert (folder / "data").is_dir()
    remove(stack)
    assert not stack.home.exists()
    assert not folder.exists()
    anew = Stack(stack.home, stack.offset)
    up(anew, ("postgres",), attached=True)
    assert asked(anew, "SELECT FROM pg_class WHERE relname = 'kept'") == []
