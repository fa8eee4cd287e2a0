"""Pictures that appear under another owner or in another shop than first: duplicates, features, images, raw_images ->
picture_copyright.

The earliest picture of a group counts as the original.
"""

from __future__ import annotations

from typing import Any

from data_contracts.picture_copyright import METHODS, OTHER_OWNER, OTHER_SHOP, PHASH, SHA256, TITLE
from spark_jobs.monitor_prices import counted, members
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.runner import Job
from spark_jobs.stages.look_alike import bits_apart, is_near, is_same_title

_PLACE = ("day", "key", "crop")
_TOLD = ("owner", "shop", "title")
_OF_ORIGINAL = (*_PLACE, *_TOLD, "since", "code", "whole_hash", "sha256", "evidence")


def plan(job: Job[NoOptions]) -> Any:
    """Each key of a group once, on its earliest day, compared with the group's original."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    rows = members(job).where("owner IS NOT NULL OR shop IS NOT NULL")
    of_key = Window.partitionBy("group", "key")
    earliest = F.row_number().over(of_key.orderBy("day", "crop"))
    keys = rows.withColumns({"last_seen": F.max("day").over(of_key), "number": earliest}).where("number = 1")
    ordered = F.struct("since", *_PLACE)
    originals = keys.groupBy("group").agg(F.min_by(F.struct(*_OF_ORIGINAL), ordered).alias("original"))
    beside = keys.join(originals, "group").withColumn("kind", F.expr(_KIND)).where("kind IS NOT NULL")
    found = beside.withColumn("pair", F.expr(_PAIR)).selectExpr(
        *[f"{sql} AS `{name}`" for name, sql in _COLUMNS.items()]
    )
    return job.observe(found, "cases", counted, **_COUNTED)


_KIND = f"CASE WHEN owner <> original.owner THEN '{OTHER_OWNER}' WHEN shop <> original.shop THEN '{OTHER_SHOP}' END"
_COUNTED = {"cases": "1", OTHER_OWNER: f"int(kind = '{OTHER_OWNER}')"} | {
    f"found_by_{method}": f"int(array_contains(found_by, '{method}'))" for method in METHODS
}
_PAIR = (
    "coalesce(get(filter(evidence, e -> struct(e.day, e.key, e.crop) = struct(original.day, original.key, "
    "original.crop)), 0),"
    " get(filter(original.evidence, e -> struct(e.day, e.key, e.crop) = struct(day, key, crop)), 0))"
)
"""What `duplicates` says of the two, in the row of one or the other."""
_SEES = {
    SHA256: "sha256 = original.sha256",
    PHASH: is_near("whole_hash", "original.whole_hash"),
    TITLE: is_same_title("title", "original.title"),
}
_FOUND_BY = "array_compact(array(" + ", ".join(f"IF({sql}, '{method}', NULL)" for method, sql in _SEES.items()) + "))"
_COLUMNS = {
    **{name: f"`{name}`" for name in (*_PLACE, "group", "kind", *_TOLD, "last_seen", "evidence")},
    "reason": "'ok'",
    "first_seen": "since",
    **{f"original_{name}": f"original.{name}" for name in (*_PLACE, *_TOLD)},
    "original_first_seen": "original.since",
    "days_later": "datediff(since, original.since)",
    "distance": bits_apart("code", "original.code"),
    "similarity": "pair.similarity",
    "found_by": _FOUND_BY,
}


if __name__ == "__main__":
    runner.run("check_copyright", plan)
