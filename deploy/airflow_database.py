"""Bring Airflow's SQLite database to this Airflow's version, once per version: `python -m deploy.airflow_database`."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from deploy.stack import Stack


def main() -> None:
    """Migrate the database unless it is up to date, and let readers and one writer work side by side.

    Raises CalledProcessError when the migration fails; the log says why.
    """
    home = Stack.from_environment().folder("airflow")
    stamp = home / f"database-{version('apache-airflow')}"
    if stamp.exists():
        return
    subprocess.run([str(Path(sys.executable).parent / "airflow"), "db", "migrate"], check=True)
    with sqlite3.connect(home / "airflow.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    stamp.touch()


if __name__ == "__main__":
    main()
