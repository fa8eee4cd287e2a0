"""One Spark for the tests of distributed training: two cores in a JVM of this session, which tries a task up to four
times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A SparkContext."""
    from tests.dlcore.spark.standalone import context_on

    with context_on("local[2,4]", tmp_path_factory.mktemp("spark")) as context:
        yield context
