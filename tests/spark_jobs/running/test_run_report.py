"""What a run report holds beside what its stage says itself."""

from __future__ import annotations

from pyspark.sql.connect.observation import Observation

from spark_jobs.running.run_report import RunReport


def test_sums_that_spark_has_dropped_are_a_warning() -> None:
    report = RunReport("read_images", "manual", 1)
    report.add_observed("hbase", Observation("hbase"), dict)
    assert report.warnings == ["Spark took no sums of 'hbase'; the run report lacks them"]
    assert "hbase" not in report.extra
