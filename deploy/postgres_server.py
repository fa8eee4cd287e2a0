"""Become PostgreSQL, which keeps Airflow's data: `python -m deploy.postgres_server`.

It refuses to run as root. Started by root, it runs as `nobody`, who cannot enter every folder that root can, such as a
home of mode 0700. Its data then lies in OPEN_TO_ALL, under a name made from the stack's secrets; otherwise it lies in
the stack's home.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
from contextlib import closing
from pathlib import Path

import psycopg2

from deploy import REPOSITORY
from deploy.install import OPEN_TO_ALL, postgres_folder
from deploy.stack import MARKER, Stack

_UNPRIVILEGED = "nobody"
_TIMEOUT_S = 20
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=32MB")


def database_folder(stack: Stack) -> Path:
    """The folder of the database of a stack that this user starts."""
    if os.geteuid() != 0:
        return stack.home / "postgres"
    drawn = hashlib.sha256(stack.secrets["database_password"].encode()).hexdigest()[:16]
    return OPEN_TO_ALL / f"database-{drawn}" / "postgres"


def remove_databases(home: Path) -> None:
    """Remove the databases that a stack's home, and the homes below it, keep elsewhere; the stacks must be stopped."""
    for record in OPEN_TO_ALL.glob("database-*/home"):
        if Path(record.read_text()).is_relative_to(home):
            shutil.rmtree(record.parent)


def database_answers(stack: Stack) -> bool:
    """Whether the stack's database accepts connections with the stack's password."""
    try:
        psycopg2.connect(stack.database_url, connect_timeout=_TIMEOUT_S).close()
    except psycopg2.OperationalError:
        return False
    return True


def dags_are_read(stack: Stack) -> bool:
    """Whether Airflow has read every file of DAGs: it knows the DAG that the file is named after, or why there is
    none."""
    files = {path.stem for path in (REPOSITORY / "dags").glob("*.py")}
    try:
        with (
            closing(psycopg2.connect(stack.database_url, connect_timeout=_TIMEOUT_S)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT dag_id FROM serialized_dag UNION SELECT filename FROM import_error")
            known = {Path(name).stem for (name,) in cursor.fetchall()}
    except psycopg2.Error:
        return False
    return files <= known


def main() -> None:
    """Make the database the first time, as an unprivileged user, and become its server."""
    stack = Stack.from_environment()
    folder = database_folder(stack)
    script = (REPOSITORY / "deploy" / "postgres" / "start-postgres").read_text()
    options = [part for setting in (*_SETTINGS, f"port={stack.port('postgres')}") for part in ("-c", setting)]
    # Without the other secrets, which are none of this user's business.
    environment = {
        "PATH": f"{postgres_folder() / 'bin'}{os.pathsep}{os.defpath}",
        "PGDATA": str(folder / "data"),
        "POSTGRES_PASSWORD": stack.secrets["database_password"],
        MARKER: str(stack.home),
    }
    if os.geteuid() == 0:
        _become_unprivileged(stack, folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chdir(folder)
    os.execve("/bin/sh", ["sh", "-c", script, "start-postgres", *options], environment)


def _become_unprivileged(stack: Stack, folder: Path) -> None:
    """Give the folder to the unprivileged user, note whose it is, and become that user."""
    user = pwd.getpwnam(_UNPRIVILEGED)
    os.umask(0o022)
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "home").write_text(str(stack.home))
    folder.chmod(0o700)
    os.chown(folder, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    main()
