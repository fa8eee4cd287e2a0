"""Read a day's images from HBase: the job `read_images`. One row of HBase, one row of `raw_images`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

from spark_jobs.mistakes import NothingYet
from spark_jobs.pipeline import SCHEDULED
from spark_jobs.running import publishing, runner
from spark_jobs.running.request import no_images
from spark_jobs.settings import Settings

_LOAD_SOME = "load some: python -m spark_jobs.load_images FOLDER --day YYYY-MM-DD"


@dataclass(frozen=True)
class Options:
    """Which table, and where in it the day, the bytes and the metadata are."""

    table: str = field(default="", metadata={"help": "HBase table; by default the `hbase_table` setting"})
    limit: int = field(
        default=0, metadata={"min": 0, "help": "read at most this many images, as a trial (see --trial); 0: all"}
    )
    day_column: str = field(
        default="", metadata={"help": "family:qualifier of the day, for tables with another layout"}
    )
    day_format: str = field(
        default="%Y-%m-%d", metadata={"help": "format of the day at the start of that column, as strftime writes it"}
    )
    image_column: str = field(default="i:image", metadata={"help": "family:qualifier of the image's bytes"})
    metadata_family: str = field(default="m", metadata={"help": "column family of the metadata"})
    slices: int = field(default=1, metadata={"help": "number of tasks per region"})


def plan(job: runner.Job[Options]) -> Any:
    """Scan the day; the source says for each row whether it can be used."""
    from pyspark.sql import functions as F

    from spark_jobs.hbase.source import HBaseImages

    settings = job.settings
    own = {"gateways": settings.hbase_gateways, "wire": settings.hbase_wire, "day": str(job.day)}
    options = vars(job.options) | own | {"table": job.options.table or settings.hbase_table}
    job.spark.dataSource.register(HBaseImages)
    if not job.options.table and not publishing.has_published(job.spark, settings.table("raw_images")):
        refuse_missing_table(settings)
    job.when_empty.append(lambda: refuse_empty_table(settings, options["table"]))
    if job.day and job.run.startswith(SCHEDULED):
        job.when_empty.append(partial(skip_scheduled_day, job.day, options["table"]))
    rows = job.spark.read.format(HBaseImages.name()).options(**options).load()
    if job.options.limit:
        rows = rows.limit(job.options.limit)
    rows = job.observe(rows, "hbase", wait_s="wait_s", size_bytes="cast(size_bytes as bigint)")
    image = F.when(F.col("size_bytes") > 0, F.col("image"))
    return rows.drop("wait_s").withColumns({"day": F.lit(job.day), "image": image})


def refuse_missing_table(settings: Settings) -> None:
    """Check, before any day is published, that the table exists: the loader makes it, so without it nothing was loaded.

    Later, or for a table that is named, a missing table is an error, which the scan raises; so is a gateway that does
    not answer.

    Raises:
        NothingYet: the settings' table does not exist.
    """
    from spark_jobs.hbase.scan import HBaseError
    from spark_jobs.hbase.source import has_table

    with suppress(HBaseError):
        if not has_table(settings, settings.hbase_table):
            raise NothingYet(f"HBase has no table {settings.hbase_table!r} yet; {_LOAD_SOME}")


def refuse_empty_table(settings: Settings, table: str) -> None:
    """Tell a table into which nothing has been loaded, which is no error, from one that lacks a day.

    Raises:
        NothingYet: the table has no row of any day.
    """
    from spark_jobs.hbase.source import has_rows

    if not has_rows(settings, table):
        raise NothingYet(f"HBase table {table!r} has no image of any day yet; {_LOAD_SOME}")


def skip_scheduled_day(day: date, table: str) -> None:
    """Skip a day without images that nobody has asked for by hand.

    Raises:
        NothingYet: always.
    """
    raise NothingYet(no_images(day, table))


if __name__ == "__main__":
    runner.run("read_images", plan, Options)
