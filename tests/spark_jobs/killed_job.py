"""A real job that is killed with SIGKILL on the way, once.

    python -m tests.spark_jobs.killed_job driver:<function> <marker> --run r --remote ...
    python -m tests.spark_jobs.killed_job worker:<function> <marker> --run r --remote ...

function: of the job's own script, as `build_index.publish_manifest`, or of another file, as
`compare_pictures.pictured_days.block_batches`.
The driver dies when it is about to call it; the Python worker dies
when it has made the function's first rows, unless the file `marker` is there.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions


def dying_driver(*_: Any, **__: Any) -> None:
    """In place of a function."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying_worker(function: Callable[..., Iterator[Any]], marker: Path) -> Callable[..., Iterator[Any]]:
    """The function; the worker that has its first rows dies with them."""

    def dying(*arguments: Any, **named: Any) -> Iterator[Any]:
        for rows in function(*arguments, **named):
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield rows

    return dying


if __name__ == "__main__":
    (who, _, place), marker = sys.argv.pop(1).partition(":"), Path(sys.argv.pop(1))
    stage, *file, name = place.split(".")
    job, place_of = (importlib.import_module(f"spark_jobs.{module}") for module in (stage, (file or [stage])[0]))
    setattr(place_of, name, dying_driver if who == "driver" else dying_worker(getattr(place_of, name), marker))
    runner.run(stage, job.plan, getattr(job, "Options", NoOptions))
