"""One Spark for the tests of distributed training: two cores in a JVM of this session, which tries a task up to four times."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A SparkContext."""
    from pyspark import SparkConf, SparkContext

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.ui.enabled": "false",
        "spark.local.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.python.unix.domain.socket.enabled": "true",
        "spark.ui.showConsoleProgress": "false",
    }
    context = SparkContext(conf=SparkConf().setMaster("local[2,4]").setAll(settings.items()))
    context.setLogLevel("ERROR")
    yield context
    context.stop()
