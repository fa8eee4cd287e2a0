"""Migrate Airflow's database to the installed version and add the pool of HBase's readers, once per version: `python -m
deploy.airflow_database`."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg2

from deploy.stack import HBASE_POOL, Stack

HBASE_READERS = 2
"""How many days are read from HBase at a time, until somebody sets the pool to another size."""

_MADE_BY = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"


def main() -> None:
    """Migrate the database and create the pool, unless the database says that this version has done so.

    Raises:
        CalledProcessError: a step fails; the log says why.
    """
    this = f"Airflow {version('apache-airflow')}"
    with psycopg2.connect(Stack.from_environment().database_url) as connection, connection.cursor() as cursor:
        cursor.execute(_MADE_BY)
        if cursor.fetchone() == (this,):
            return
        _run("db", "migrate").check_returncode()
        if _run("pools", "get", HBASE_POOL).returncode:
            meaning = "days that are read from HBase at a time"
            _run("pools", "set", HBASE_POOL, str(HBASE_READERS), meaning).check_returncode()
        cursor.execute("COMMENT ON DATABASE airflow IS %s", (this,))


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(Path(sys.executable).parent / "airflow"), *arguments], check=False)


if __name__ == "__main__":
    main()
