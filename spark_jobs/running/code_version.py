"""Which code computed the rows: a hash of the project's sources, the same on the driver and on every worker.

The project is installed on every node of a cluster; a node that an upgrade missed would silently compute rows of
another version. Each run report has the driver's hash, and a job refuses workers with another.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any

import pyarrow as pa

from spark_jobs.settings import REPOSITORY

PACKAGES = ("data_contracts", "dlcore", "sample_data", "spark_jobs")
SUFFIXES = (".py", ".cpp", ".h")
_SCHEMA = "host string, code string"


@cache
def code_version() -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the project's sources on this machine."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*")):
            if path.suffix in SUFFIXES:
                digest.update(str(path.relative_to(REPOSITORY)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def check_workers(spark: Any, workers: int) -> None:
    """Compare the code of a cluster's Python workers with the driver's; workers on the driver's own machine are not
    asked.

    workers: number of tasks that ask.

    Raises:
        RuntimeError: a worker's code differs from the driver's.
    """
    if not spark.conf.get("spark.master", "local").startswith("local"):
        refuse_others(ask(spark, workers), code_version())


def ask(spark: Any, workers: int) -> dict[str, str]:
    """Host name -> code version, as the Python workers see it."""
    rows = spark.range(0, workers, 1, workers).mapInArrow(_answer, _SCHEMA).distinct().collect()
    return {row["host"]: row["code"] for row in rows}


def refuse_others(found: dict[str, str], expected: str) -> None:
    """Raise RuntimeError naming the hosts whose code is not the expected version."""
    others = {host: code for host, code in found.items() if code != expected}
    if others:
        raise RuntimeError(
            f"got project code {others} on workers, expected {expected} as on the driver; install the same wheel "
            f"everywhere"
        )


def _answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        yield pa.RecordBatch.from_pydict({"host": [socket.gethostname()], "code": [code_version()]})
