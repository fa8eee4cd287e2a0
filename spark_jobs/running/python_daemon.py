"""Spark's Python daemon; this one ends when it has had no worker for a while.

Spark starts one for each session, to fork the session's Python workers, and keeps it (42 MB) until the server ends,
long after the session has been released. Spark ends a worker that has been idle for a minute; this daemon then ends by
itself. A session that comes back finds it gone and starts another. The setting `spark.python.daemon.module` names this
module.
"""

from __future__ import annotations

import os
import signal

from pyspark import daemon

from dlcore.spark.shared import spare_tasks_time

LOOK_EVERY_S = 20.0
_LOOKS = 4
"""How many looks in a row must find no worker before the daemon ends: by then Spark has also forgotten those that died
idle."""


def run(look_every_s: float = LOOK_EVERY_S) -> None:
    """Fork workers as Spark asks for them, until there has been none for a while."""
    idle_looks = 0

    def look(signum: int, frame: object) -> None:
        nonlocal idle_looks
        idle_looks = 0 if _has_workers() else idle_looks + 1
        if idle_looks == _LOOKS:
            os.kill(os.getpid(), signal.SIGTERM)  # pyspark's own way out: it removes its socket

    spare_tasks_time()
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, look_every_s, look_every_s)
    daemon.manager()


def _has_workers() -> bool:
    """Whether any child is alive; the daemon ignores SIGCHLD, so the kernel keeps no dead ones."""
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


if __name__ == "__main__":
    run()
