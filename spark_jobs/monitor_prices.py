"""Compares what shops ask for the same product picture: duplicates, features, images, raw_images -> price_monitoring.

There is a row for each group and currency that has two prices to compare.
"""

from __future__ import annotations

from typing import Any

from spark_jobs.pictured_rows import withdrawn_now
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.runner import Job
from spark_jobs.stages.listings import SOURCE, listings, unreadable
from spark_jobs.stages.look_alike import is_near, is_same_title

_PLACE = ("day", "key", "crop")
_MOST_SHOPS = 20
_SEEN = ("sha256", "whole_hash", "title")
_OTHERS = {
    "same_sha256": "sha256 = shown.sha256",
    "near_phash": is_near("whole_hash", "shown.whole_hash"),
    "same_title": is_same_title("title", "shown.title"),
}
"""What simple methods find equal in a picture and the one that stands for its group."""


def plan(job: Job[NoOptions]) -> Any:
    """The prices of each group; a key that is shown on several days counts with its newest price."""
    from pyspark.sql import functions as F

    _report_unreadable(job)
    rows = members(job)
    shown = rows.where("is_representative").select("group", F.struct(*_PLACE, *_SEEN).alias("shown"))
    priced = rows.where("price IS NOT NULL").join(shown, "group")
    prices = (
        _newest(priced)
        .groupBy("group", "currency", "shown")
        .agg(*[F.expr(sql).alias(name) for name, sql in _SUMS.items()])
    )
    found = prices.where("pictures > 1").selectExpr(*[f"{sql} AS `{name}`" for name, sql in _COLUMNS.items()])
    return job.observe(found, "prices", counted, cases="1", of_several_shops="int(shops > 1)")


def counted(sums: dict[str, int | None]) -> dict[str, int]:
    """Sums for the run report: 0 for no rows, where Spark says null."""
    return {name: value or 0 for name, value in sums.items()}


def members(job: Job[Any]) -> Any:
    """The pictures of groups of two and more with what their shops say, each picture once in a group: a DataFrame.

    Columns: day, key, crop, group, is_representative, evidence, code, whole_hash, sha256, `since` (first_seen, or the
    day), and those of `listings`.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    groups = job.read("duplicates", (*_PLACE, "group", "is_representative", "evidence", "size")).where("size > 1")
    groups = groups.join(withdrawn_now(job), "key", "left_anti")  # also what was taken down since they were made
    picture = Window.partitionBy("group", "day", "key").orderBy(F.desc("is_representative"), "crop")
    groups = groups.withColumn("number", F.row_number().over(picture)).where("number = 1").drop("number", "size")
    mapping, raw_images = job.settings.metadata_columns, job.read("raw_images", SOURCE)
    told = listings(raw_images, mapping)
    images = job.read("images", ("day", "key", "sha256"))
    features = job.read("features", (*_PLACE, "code", "whole_hash"))
    rows = groups.join(features, list(_PLACE)).join(images, ["day", "key"], "left").join(told, ["day", "key"], "left")
    return rows.withColumn("since", F.expr("coalesce(first_seen, CAST(day AS timestamp))")).localCheckpoint()


def _report_unreadable(job: Job[Any]) -> None:
    """Warn of prices and times that cannot be read; such a picture counts as one without."""
    counts = [f"count_if({sql}) AS `{name}`" for name, sql in unreadable(job.settings.metadata_columns).items()]
    found = job.read("raw_images", SOURCE).selectExpr(*counts).collect()[0].asDict()
    job.note("unreadable", found)
    if any(found.values()):
        job.warn(", ".join(f"{number} values of {name} cannot be read" for name, number in found.items() if number))


def _newest(rows: Any) -> Any:
    """The rows with the column `newest`: the price, unless a later day has one for the same key; then null."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    of_key = Window.partitionBy("group", "key", "currency")
    return rows.withColumn("newest", F.when(F.max("day").over(of_key) == F.col("day"), F.col("price")))


_IS_OTHER = "struct(day, key, crop) <> struct(shown.day, shown.key, shown.crop)"
_SUMS = {
    "pictures": "count(*)",
    "shops": "count(DISTINCT shop)",
    "shop_names": f"slice(array_sort(collect_set(shop)), 1, {_MOST_SHOPS})",
    "lowest": "min(newest)",
    "median": "round(percentile(newest, 0.5), 6)",
    "highest": "max(newest)",
    "lowest_at": "min(IF(newest IS NULL, NULL, struct(newest, shop, key)))",
    "highest_at": "min(IF(newest IS NULL, NULL, struct(-newest AS below, shop, key)))",
    "first_seen": "min(since)",
    "last_seen": "max(day)",
    **{name: f"count_if({_IS_OTHER} AND {sql})" for name, sql in _OTHERS.items()},
}
_KEPT = (
    *("pictures", "shops", "shop_names", "lowest", "median", "highest", "first_seen", "last_seen"),
    *("group", "currency", *_OTHERS),
)
_COLUMNS = {
    **{name: f"shown.{name}" for name in (*_PLACE, "title")},
    "reason": "'ok'",
    **{name: f"`{name}`" for name in _KEPT},
    **{f"{end}_{name}": f"{end}_at.{name}" for end in ("lowest", "highest") for name in ("shop", "key")},
    "spread": "round(highest / lowest - 1, 6)",
}


if __name__ == "__main__":
    runner.run("monitor_prices", plan)
