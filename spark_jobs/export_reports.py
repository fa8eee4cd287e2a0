"""Writes what was published of both reports as CSV files: price_monitoring, picture_copyright ->
`<exports>/<table>.csv`.

The largest spreads come first, and the earliest pictures. A file has as many rows as a spreadsheet takes; the dataset
has all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spark_jobs.running import runner
from spark_jobs.running.runner import Job
from spark_jobs.stages.csv_file import write_csv


@dataclass(frozen=True)
class Options:
    """How many rows are written."""

    rows: int = field(
        default=1_000_000, metadata={"min": 1, "help": "most rows of each report; the first ones are written"}
    )


ORDER = {
    "price_monitoring": ("-spread", "`group`", "currency"),
    "picture_copyright": ("first_seen", "day", "key", "crop"),
}
_LEFT_OUT = {"reason", "evidence"}


def plan(job: Job[Options]) -> None:
    """One task writes each file; this process sees how many rows it has."""
    written = {dataset: _write(job, dataset) for dataset in ORDER}
    job.note("written", written)


def _write(job: Job[Options], dataset: str) -> dict[str, Any]:
    """Write one report -> the number of its rows, how many of them the file has, and where the file is."""
    from pyspark.sql import functions as F

    rows = job.read(dataset)
    columns = [name for name in rows.columns if name not in _LEFT_OUT]
    folder, name = job.settings.exports, f"{job.settings.table(dataset).rpartition('.')[2]}.csv"
    first = rows.select(*[f"`{name}`" for name in columns]).orderBy(*[F.expr(column) for column in ORDER[dataset]])
    write = partial(write_csv, folder=folder, name=name, columns=columns)
    written = first.limit(job.options.rows).coalesce(1).mapInArrow(write, "rows bigint").collect()
    if not written:  # of no rows Spark makes no task
        list(write([]))
    total, kept = rows.count(), sum(row["rows"] for row in written)
    if kept < total:
        job.warn(f"{folder}/{name} has the first {kept} of {total} rows; the dataset {dataset} has all")
    return {"file": f"{folder}/{name}", "rows": kept, "of": total}


if __name__ == "__main__":
    runner.run("export_reports", plan, Options)
