"""Groups the crops of all days that show the same product picture: features and duplicate_pairs -> duplicates, one row for one row."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from spark_jobs.pictured_rows import PLACE, pictured_rows
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.components import components
from spark_jobs.running.runner import Job
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import MOST_EVIDENCE, group_batches
from spark_jobs.stages.pairs import Limits
from spark_jobs.stages.signature_rows import SIGNATURES

_ENTRY = "struct<day:date,key:string,crop:int,distance:int,similarity:float>"
_GROUPS = (
    "picture string, group_place struct<day:date,key:string,crop:int>, group_size bigint, is_chosen boolean,"
    f" pairs array<{_ENTRY}>, pair_count int"
)
_AT_ONCE = 20_000
"""Pictures of groups that a task holds, 10 MB, or those of one component."""
_LARGE = 1000


def plan(job: Job[NoOptions]) -> Any:
    """Components of the pairs, each grouped whole on a worker; copies of a picture share what it is told."""
    calibration = Calibration.read(job.settings.index)
    rows = pictured_rows(job, calibration)
    pairs, pictures = _pairs(job, calibration)
    labels = components(pairs, "picture", "other").withColumnRenamed("node", "picture").localCheckpoint()
    members = _members(rows, pictures, pairs, labels)
    tasks = max(job.settings.partitions, math.ceil(_report_components(job, labels) / _AT_ONCE))
    grouped = members.repartition(tasks, "component").mapInArrow(
        partial(group_batches, calibration=calibration), _GROUPS
    )
    grouped = grouped.localCheckpoint()
    job.note("threshold", calibration.threshold)
    copied = pictures.where("copies > 1").join(grouped, "picture", "left_anti")
    job.note("groups", grouped.where("is_chosen").count() + copied.count())
    return _rows(rows, grouped)


def _pairs(job: Job[Any], calibration: Calibration) -> tuple[Any, Any]:
    """The pairs that the calibration takes for duplicates, and all pictures with their first rows and how many copies there are.

    Raises:
        ValueError: pictures were compared within other limits.
    """
    limits = Limits.of(calibration)
    published = job.read("duplicate_pairs")
    other = f"verifier <> '{limits.verifier}' OR within_code < {limits.code} OR within_whole < {limits.whole}"
    if not published.where(other).isEmpty():
        raise ValueError("got pairs of another calibration than calibration.json; run compare_pictures again")
    near = f"distance <= {limits.code} OR whole_distance <= {limits.whole}"
    pairs = published.where(f"probability >= {calibration.threshold!r} AND ({near})").select("picture", "other")
    of_days = published.where("other IS NULL").selectExpr("picture", "struct(day, key, crop) AS place", "copies")
    pictures = of_days.groupBy("picture").agg({"place": "min", "copies": "sum"}).toDF("picture", "place", "copies")
    return pairs, pictures.select("picture", "place.*", "copies")


def _report_components(job: Job[Any], labels: Any) -> int:
    """How many pictures have duplicates; those of components too large for all their pairs to be compared are in the report."""
    sizes = labels.groupBy("component").count()
    total, largest, large = sizes.selectExpr("sum(count)", "max(count)", f"count_if(count > {_LARGE})").collect()[0]
    job.note("largest_component", largest or 0)
    if large:
        job.warn(
            f"{large} components have more than {_LARGE} pictures, the largest {largest}: they are grouped around their most typical "
            "pictures; look at them before relying on them"
        )
    return total or 0


def _members(rows: Any, pictures: Any, pairs: Any, labels: Any) -> Any:
    """The pictures that have duplicates: component, first row, copies, signatures and the others that each is paired with."""
    from pyspark.sql import functions as F

    others = pairs.groupBy("picture").agg(F.collect_list("other").alias("others"))
    known = labels.join(pictures, "picture").join(others, "picture", "left")
    return known.join(rows.select(*PLACE, *SIGNATURES), list(PLACE))


def _rows(rows: Any, grouped: Any) -> Any:
    """Rows of the dataset. Of equal rows the first has the picture's pairs and its copies as evidence, the others have the first."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    place = F.struct(*PLACE)
    copies = Window.partitionBy("picture")
    used = rows.where("picture IS NOT NULL").select(*PLACE, "picture")
    numbered = used.select(
        *PLACE,
        "picture",
        F.row_number().over(copies.orderBy(*PLACE)).alias("number"),
        F.count("*").over(copies).alias("copies"),
        F.min(place).over(copies).alias("first"),
    )
    equal = F.struct(*PLACE, F.lit(0).alias("distance"), F.lit(1.0).cast("float").alias("similarity"))
    listed = numbered.where(f"number BETWEEN 2 AND {MOST_EVIDENCE + 1}").groupBy("picture")
    listed = listed.agg(F.collect_list(equal).alias("equals"))
    told = numbered.join(grouped, "picture", "left").join(listed, "picture", "left")
    told = told.withColumn("place", F.expr("coalesce(group_place, first)"))
    known = told.selectExpr(*PLACE, *[f"{sql} AS told_{name}" for name, (sql, _) in _COLUMNS.items()])
    every = rows.select(*PLACE, "reason").join(known, list(PLACE), "left")
    columns = [
        f"coalesce(told_{name}, IF(reason = 'ok', {alone}, NULL)) AS `{name}`" for name, (_, alone) in _COLUMNS.items()
    ]
    return every.selectExpr(*PLACE, "reason", *columns)


def _name(place: str) -> str:
    """Spark SQL for the name of the group whose smallest member is there: see `stages.duplicates`."""
    is_numbered = f"{place}crop <> 0 OR {place}key RLIKE '#[0-9]+\\\\z'"
    return f"concat({place}day, '/', {place}key, IF({is_numbered}, concat('#', {place}crop), ''))"


def _strongest(entries: str) -> str:
    """Spark SQL for the most similar entries of an array, in order of their places."""
    ranked = f"array_sort(transform({entries}, e -> struct(-e.similarity AS similarity, e.distance AS distance, e AS entry)))"
    return f"array_sort(transform(slice({ranked}, 1, {MOST_EVIDENCE}), e -> e.entry))"


_NONE = f"CAST(array() AS array<{_ENTRY}>)"
_FIRST = f"array(CAST(struct(first.day, first.key, first.crop, 0, 1.0) AS {_ENTRY}))"
_EVERY = _strongest(f"concat(coalesce(equals, {_NONE}), coalesce(pairs, {_NONE}))")
_COLUMNS = {
    "group": (_name("place."), _name("")),
    "size": ("CAST(coalesce(group_size, copies) AS int)", "1"),
    "is_representative": ("number = 1 AND coalesce(is_chosen, true)", "true"),
    "evidence": (f"IF(number = 1, {_EVERY}, {_FIRST})", _NONE),
    "evidence_count": ("IF(number = 1, CAST(copies AS int) - 1 + coalesce(pair_count, 0), 1)", "0"),
}
"""Columns of the dataset, in Spark SQL: of a row with a picture, and of a used one that cannot be compared."""


if __name__ == "__main__":
    runner.run("find_duplicates", plan)
