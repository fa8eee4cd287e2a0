"""Workers with other code than the driver's are refused."""

from __future__ import annotations

import socket

import pytest

from spark_jobs.running import code_version
from spark_jobs.running.code_version import ask, refuse_others
from tests.spark_jobs.lake import Lake


@pytest.mark.spark
def test_workers_answer_with_their_code(lake: Lake) -> None:
    spark = lake.connect()
    try:
        assert ask(spark, 2) == {socket.gethostname(): code_version.code_version()}
    finally:
        spark.stop()


def test_a_forgotten_worker_is_named() -> None:
    refuse_others({"node-1": "abc"}, "abc")
    with pytest.raises(RuntimeError, match=r"node-2.*expected abc as on the driver"):
        refuse_others({"node-1": "abc", "node-2": "old"}, "abc")
