"""Groups the crops of all days that show the same product picture: features and duplicate_pairs -> duplicates, one row
for each row of features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from spark_jobs.pictured_days import look_up, places, shown_together
from spark_jobs.pictured_rows import HANDED_OUT, PLACE, pictured_rows, to_all, used_rows
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.components import components
from spark_jobs.running.publishing import Part
from spark_jobs.running.runner import Job
from spark_jobs.sql import of_days
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import MOST_EVIDENCE, group_batches
from spark_jobs.stages.pairs import Limits
from spark_jobs.stages.picture_blocks import folder_of_run, remove_folder
from spark_jobs.stages.picture_days import PICTURE_DAYS, PictureDays
from spark_jobs.stages.signature_rows import SIGNATURES

_ENTRY = "struct<day:date,key:string,crop:int,distance:int,similarity:float>"
_GROUPS = (
    "picture string, group_place struct<day:date,key:string,crop:int>, group_size bigint, is_chosen boolean,"
    f" pairs array<{_ENTRY}>, pair_count int"
)
_THRESHOLD = "threshold"
"""The name under which a snapshot of the groups keeps the threshold they were made with."""
_AT_ONCE = 20_000
"""Most pictures that a task holds at once, 10 MB, unless one component has more."""
_LARGE = 1000


def plan(job: Job[NoOptions]) -> Any:
    """A worker groups each component of the pairs whole; copies of a picture share the picture's result."""
    calibration = Calibration.read(job.settings.index)
    pairs = _pairs(job, calibration)
    labels = components(pairs, "picture", "other").withColumnRenamed("node", "picture").localCheckpoint()
    job.note("threshold", calibration.threshold)
    days, before = _since(job, calibration)
    added = days.added_to(before.days) if days and before else None
    job.note("days_replaced", "all" if added is None else added)
    if days is None or before is None or added is None:
        return _all_rows(job, calibration, pairs, labels, days)
    moved = _moved(job, calibration, before.threshold)
    return _changed_rows(job, calibration, pairs, labels, days, added, moved)


@dataclass(frozen=True)
class Grouped:
    """What the published groups were made with. days: the list of days of the pairs.   threshold: that of the
    calibration."""

    days: PictureDays
    threshold: float


def _since(job: Job[Any], calibration: Calibration) -> tuple[PictureDays | None, Grouped | None]:
    """The list of days that the pairs were made from, and what the published groups were made with; None for what is
    unknown, gone, or does not fit."""
    job.published()
    made, then = job.state("duplicate_pairs"), job.state().told
    days = PictureDays.told(job.settings.index, made.told)
    is_same = all(job.record.inputs[name] == made.inputs.get(name) for name in ("features", "withdrawn"))
    if days is None or days.limits != Limits.of(calibration) or not is_same or not days.are_kept(job.settings.index):
        return None, None
    job.tell(PICTURE_DAYS, made.told[PICTURE_DAYS])
    job.tell(_THRESHOLD, repr(calibration.threshold))
    grouped = PictureDays.told(job.settings.index, then) if _THRESHOLD in then else None
    return days, Grouped(grouped, float(then[_THRESHOLD])) if grouped else None


def _moved(job: Job[Any], calibration: Calibration, before: float) -> Any:
    """The pairs between the earlier threshold and the present one; None if the two are the same."""
    lowest, highest = sorted((before, calibration.threshold))
    between = f"other IS NOT NULL AND probability >= {lowest!r} AND probability < {highest!r}"
    return job.read("duplicate_pairs").where(between).select("picture", "other") if lowest < highest else None


def _all_rows(job: Job[Any], calibration: Calibration, pairs: Any, labels: Any, days: PictureDays | None) -> Any:
    """All rows. days: whose blocks have the pictures; None: they are named anew from the rows of `features`."""
    known = shown_together(job, labels, days.blocks()).localCheckpoint() if days else _found_in_rows(job, calibration)
    pictures = _pictures(known)
    grouped = _grouped(job, calibration, _members(known, pictures, pairs, labels), _report_components(job, labels))
    copied = pictures.where("copies > 1").join(grouped, "picture", "left_anti")
    job.note("groups", grouped.where("is_chosen").count() + copied.count())
    return _rows(used_rows(job, (*PLACE, "reason")), _shown(known), grouped)


def _found_in_rows(job: Job[Any], calibration: Calibration) -> Any:
    """The pictures of the rows of `features`, in the form that blocks have: each row alone."""
    rows = pictured_rows(job, calibration).where("picture IS NOT NULL")
    alone = ("CAST(1 AS bigint) AS copies", "array(key) AS keys", "array(crop) AS crops")
    return rows.selectExpr("picture", *PLACE, *alone, *SIGNATURES)


def _pictures(known: Any) -> Any:
    """Each picture with its first row and its number of copies. known: the pictures of days."""
    from pyspark.sql import functions as F

    first = known.groupBy("picture").agg(F.min(F.struct(*PLACE)).alias("place"), F.sum("copies").alias("copies"))
    return first.select("picture", "place.*", "copies")


def _shown(known: Any) -> Any:
    """The rows that show the pictures of days: place and picture."""
    from pyspark.sql import functions as F

    place = F.explode(F.arrays_zip("keys", "crops")).alias("place")
    return known.select("day", "picture", place).selectExpr(
        "day", "place.keys AS key", "place.crops AS crop", "picture"
    )


def _changed_rows(
    job: Job[Any],
    calibration: Calibration,
    pairs: Any,
    labels: Any,
    days: PictureDays,
    added: Sequence[str],
    moved: Any,
) -> Any:
    """The rows of added days, and those of every picture that an added day shows or that shares a component with one.

    moved: pairs that another threshold makes or unmakes.
    With such pairs, rows change too for the pictures of their components and of all components of three and more, which
    the threshold cuts; a component of two stays one group while its pair holds.
    """
    folder = folder_of_run()
    job.at_end.callback(remove_folder, job.settings.index, folder)
    new = places(job, days.blocks(added)).select("picture").distinct()
    if moved is not None:
        new = new.union(moved.select("picture")).union(moved.select("other")).distinct()
    touched = labels.join(new, "picture", "left_semi").select("component")
    if moved is not None:
        touched = touched.union(labels.groupBy("component").count().where("count > 2").select("component"))
    touched = touched.distinct()
    near = labels.join(touched, "component", "left_semi").localCheckpoint()
    every = near.select("picture").union(new)
    known = look_up(job, folder, every, days.blocks()).localCheckpoint()
    members = _members(known, _pictures(known), pairs, near)
    _report_components(job, labels)
    grouped, shown = _grouped(job, calibration, members, near.count()), _shown(known)
    is_added = of_days(added)
    others = shown.where(f"NOT {is_added}").selectExpr(*PLACE, "'ok' AS reason")
    rows = used_rows(job, (*PLACE, "reason")).where(is_added).unionByName(others)
    changed = _rows(rows, shown, grouped).localCheckpoint()
    is_small = changed.count() <= HANDED_OUT
    chosen = "size > 1 AND is_representative"
    others = job.published().where(chosen).join(to_all(changed.select(*PLACE), is_small), list(PLACE), "left_anti")
    job.note("groups", others.count() + changed.where(chosen).count())
    job.replaces(
        Part(
            keys=PLACE,
            of_output=partial(_of_groups, changed, is_small, is_added),
            of_input=partial(_of_places, changed, is_small),
        )
    )
    return changed


def _of_groups(changed: Any, is_small: bool, is_added: str, rows: Any) -> Any:
    """The rows of the groups that have changed, and those of the added days that are in no group."""
    groups = to_all(changed.where("`group` IS NOT NULL").select("group").distinct(), is_small)
    return rows.join(groups, "group", "left_semi").unionByName(rows.where(f"`group` IS NULL AND {is_added}"))


def _of_places(changed: Any, is_small: bool, rows: Any) -> Any:
    """The rows that have changed."""
    return rows.join(to_all(changed.select(*PLACE), is_small), list(PLACE), "left_semi")


def _grouped(job: Job[Any], calibration: Calibration, members: Any, count: int) -> Any:
    """Rows of `stages.duplicates.GROUPED`. members: as `_members` gives them, with their number."""
    tasks = max(job.settings.partitions, math.ceil(count / _AT_ONCE))
    group = partial(group_batches, calibration=calibration)
    return members.repartition(tasks, "component").mapInArrow(group, _GROUPS).localCheckpoint()


def _pairs(job: Job[Any], calibration: Calibration) -> Any:
    """The pairs that the calibration takes for duplicates.

    Raises:
        ValueError: the pictures were compared within other limits.
    """
    limits = Limits.of(calibration)
    published = job.read("duplicate_pairs")
    other = f"verifier <> '{limits.verifier}' OR within_code < {limits.code} OR within_whole < {limits.whole}"
    if not published.where(other).isEmpty():
        raise ValueError("got pairs of another calibration than calibration.json; run compare_pictures again")
    near = f"distance <= {limits.code} OR whole_distance <= {limits.whole}"
    return published.where(f"probability >= {calibration.threshold!r} AND ({near})").select("picture", "other")


def _report_components(job: Job[Any], labels: Any) -> int:
    """How many pictures have duplicates. The report names components that are too large for all their pairs to be
    compared."""
    sizes = labels.groupBy("component").count()
    total, largest, large = sizes.selectExpr("sum(count)", "max(count)", f"count_if(count > {_LARGE})").collect()[0]
    job.note("largest_component", largest or 0)
    if large:
        job.warn(
            f"{large} components have more than {_LARGE} pictures, the largest {largest}: they are grouped around "
            f"their most typical "
            "pictures; look at them before relying on them"
        )
    return total or 0


def _members(rows: Any, pictures: Any, pairs: Any, labels: Any) -> Any:
    """The pictures that have duplicates: component, first row, copies, signatures and the others that each is paired
    with.

    rows: with their signatures.   pictures: with their first row and how many copies there are.   labels: components.
    """
    from pyspark.sql import functions as F

    others = pairs.groupBy("picture").agg(F.collect_list("other").alias("others"))
    known = labels.join(pictures, "picture").join(others, "picture", "left")
    return known.join(rows.select(*PLACE, *SIGNATURES), list(PLACE))


def _rows(rows: Any, shown: Any, grouped: Any) -> Any:
    """Rows of the dataset. Among equal rows, the first has the picture's pairs and copies as evidence; each of the
    others has the first.

    rows: all of them, with place and reason.   shown: those whose pictures have copies or are in groups; all others are
        alone.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    place = F.struct(*PLACE)
    copies = Window.partitionBy("picture")
    numbered = shown.select(
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
    every = rows.join(known, list(PLACE), "left")
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
    ranked = (
        f"array_sort(transform({entries}, e -> struct(-e.similarity AS similarity, e.distance AS distance, e AS "
        f"entry)))"
    )
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
"""Columns of the dataset, in Spark SQL: those of a row with a picture, and those of a used row that cannot be
compared."""


if __name__ == "__main__":
    runner.run("find_duplicates", plan)
