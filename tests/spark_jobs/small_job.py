"""A job of a few rows for the tests, run in their process or in one that they kill.

    python -m tests.spark_jobs.small_job <pause> --run r --day 2026-11-02 --remote ... --rows 5

pause: `before:<module>.<function>` or `after:<module>.<function>` of spark_jobs.running: the process prints `paused`
there and waits to be killed; `none`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

from spark_jobs.running import runner
from tests.waiting import wait_for_a_signal

STAGE = "read_images"


@dataclass(frozen=True)
class Options:
    """rows: how many.
    broken: how many of them break the contract.
    other_day: what day to give them.
    files: at least.
    stuck: the rows never come; the worker that should make them writes its process id to this file."""

    rows: int = 5
    broken: int = 0
    other_day: str | None = None
    files: int = 1
    stuck: str | None = None


def plan(job: runner.Job[Options]) -> Any:
    """Rows made by SQL alone: no Python worker is needed."""
    options = job.options
    rows = (
        job.spark.range(options.rows)
        .repartition(options.files)
        .selectExpr(
            f"DATE '{options.other_day or job.day}' AS day",
            "concat('key-', id) AS key",
            f"if(id < {options.broken}, 'no such reason', 'ok') AS reason",
            f"CAST('{job.run}' AS BINARY) AS image",
            "3 AS size_bytes",
            "map('title', 'a thing') AS metadata",
        )
    )
    return rows.mapInArrow(partial(_never, options.stuck), job.schema) if options.stuck else rows


def _never(told: str, batches: Iterator[Any]) -> Iterator[Any]:
    Path(told).write_text(str(os.getpid()))
    while True:
        sleep(0.1)
    yield from batches


def _pause(*_: Any) -> None:
    print("paused", flush=True)
    wait_for_a_signal()


def pause_at(place: str) -> None:
    """Make the process stop before or after a function of spark_jobs.running."""
    when, _, path = place.partition(":")
    module_name, _, name = path.rpartition(".")
    module = importlib.import_module(f"spark_jobs.running.{module_name}")
    original = getattr(module, name)

    def stopping(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            _pause()
        result = original(*arguments, **named)
        if when == "after":
            _pause()
        return result

    setattr(module, name, stopping)


if __name__ == "__main__":
    place = sys.argv.pop(1)
    if place != "none":
        pause_at(place)
    runner.run(STAGE, plan, Options)
