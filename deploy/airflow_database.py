"""Bring Airflow's SQLite database to this Airflow's version, with the pool of HBase's readers, once per version:
`python -m deploy.airflow_database`."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from deploy.stack import HBASE_POOL, Stack

HBASE_READERS = 2
"""Days that are read from HBase at a time, until somebody sets the pool to another size."""


def main() -> None:
    """Migrate the database unless it is up to date, let readers and one writer work side by side, create the pool.

    Raises CalledProcessError when a step fails; the log says why.
    """
    home = Stack.from_environment().folder("airflow")
    airflow = str(Path(sys.executable).parent / "airflow")
    migrated, has_pool = home / f"database-{version('apache-airflow')}", home / f"pool-{HBASE_POOL}"
    if not migrated.exists():
        subprocess.run([airflow, "db", "migrate"], check=True)
        with sqlite3.connect(home / "airflow.db") as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        migrated.touch()
    if not has_pool.exists():
        meaning = "days that are read from HBase at a time"
        subprocess.run([airflow, "pools", "set", HBASE_POOL, str(HBASE_READERS), meaning], check=True)
        has_pool.touch()


if __name__ == "__main__":
    main()
