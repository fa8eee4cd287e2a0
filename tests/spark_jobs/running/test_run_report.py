"""What a run report holds beside what its stage says itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyspark.sql.connect.observation import Observation

from spark_jobs.running.run_report import RunReport


@pytest.mark.parametrize(
    "dropped", [Observation("hbase"), SimpleNamespace(get={})], ids=["never run", "run without it"]
)
def test_sums_that_spark_has_dropped_are_a_warning(dropped) -> None:
    report = RunReport("read_images", "manual", 1)
    report.add_observed("hbase", dropped, lambda sums: sums["count"])
    assert report.warnings == ["Spark computed no sums of 'hbase'; the run report lacks them"]
    assert "hbase" not in report.extra
