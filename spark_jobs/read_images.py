"""Read a day's images from HBase: the job `read_images`. One row of HBase, one row of `raw_images`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from data_contracts.reasons import Reason
from spark_jobs import runner


@dataclass(frozen=True)
class Options:
    """Which table, and where in it the day, the bytes and the metadata are."""

    table: str = field(default="", metadata={"help": "HBase table; by default the `hbase_table` setting"})
    limit: int = field(default=0, metadata={"help": "at most this many images, 0 for all"})
    day_column: str = field(
        default="", metadata={"help": "family:qualifier that holds the day, for other people's tables"}
    )
    day_format: str = field(default="%Y-%m-%d", metadata={"help": "how that column begins, in strftime's letters"})
    image_column: str = field(default="i:image", metadata={"help": "family:qualifier of the bytes"})
    metadata_family: str = field(default="m", metadata={"help": "family of the metadata"})
    slices: int = field(default=1, metadata={"help": "tasks per region"})


def plan(job: runner.Job[Options]) -> Any:
    """Scan the day; a row without an image, or with an empty one, says so."""
    from pyspark.sql import functions as F

    from spark_jobs.hbase import HBaseImages

    settings = job.settings
    own = {"gateways": settings.hbase_gateways, "wire": settings.hbase_wire, "day": str(job.day)}
    options = vars(job.options) | own | {"table": job.options.table or settings.hbase_table}
    job.spark.dataSource.register(HBaseImages)
    rows = job.spark.read.format(HBaseImages.name()).options(**options).load()
    if job.options.limit:
        rows = rows.limit(job.options.limit)
    rows = job.observe(rows, "hbase", wait_s="wait_s", size_bytes="cast(size_bytes as bigint)")
    reason = (
        F.when(F.col("image").isNull(), Reason.MISSING_IMAGE.value)
        .when(F.col("size_bytes") == 0, Reason.EMPTY.value)
        .otherwise(Reason.OK.value)
    )
    image = F.when(F.col("size_bytes") > 0, F.col("image"))
    return rows.drop("wait_s").withColumns({"day": F.lit(job.day), "reason": reason, "image": image})


if __name__ == "__main__":
    runner.run("read_images", plan, Options)
