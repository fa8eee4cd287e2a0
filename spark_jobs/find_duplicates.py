"""Groups the crops of all days that show the same product picture: features -> duplicates, one row for one row."""

from __future__ import annotations

from typing import Any

from spark_jobs import runner
from spark_jobs.command_line import NoOptions
from spark_jobs.runner import Job
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import COLUMNS, duplicate_rows


def plan(job: Job[NoOptions]) -> Any:
    """Join, verify and group in this process: the codes of a million crops are 16 MB."""
    features = job.read("features", COLUMNS).toArrow()
    calibration = Calibration.read(job.settings.index)
    rows = duplicate_rows(features, calibration)
    job.report("threshold", calibration.threshold)
    job.report("groups", len(set(rows.filter(_is_grouped(rows)).column("group").to_pylist())))
    return job.spark.createDataFrame(rows, job.schema)


def _is_grouped(rows: Any) -> Any:
    import pyarrow.compute as pc

    return pc.fill_null(pc.greater(rows.column("size"), 1), False)


if __name__ == "__main__":
    runner.run("find_duplicates", plan)
