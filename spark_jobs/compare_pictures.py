"""Compares new pictures with all pictures: features -> duplicate_pairs, the verified pairs of distinct pictures of all
days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from spark_jobs.pictured_days import first_places, look_up, pictured_days, places, task_per
from spark_jobs.pictured_rows import PLACE, warn_of_left_out
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.publishing import Part
from spark_jobs.running.runner import Job
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.pairs import (
    FILE_ROW,
    PAIR_ROW,
    PAIRS,
    Limits,
    bundles_of,
    compared_tiles,
    pair_files,
    pairs_of_files,
    part_count,
    tile_count,
)
from spark_jobs.stages.picture_blocks import (
    BLOCK_ROW,
    PICTURE,
    Block,
    folder_of_run,
    known_batches,
    part_batches,
    remove_folder,
)
from spark_jobs.stages.picture_days import PICTURE_DAYS, PictureDays


def plan(job: Job[NoOptions]) -> Any:
    """Blocks of pictures go from worker to worker; the driver knows only their names and how many pictures each has."""
    calibration = Calibration.read(job.settings.index)
    limits, index, folder = Limits.of(calibration), job.settings.index, folder_of_run()
    days = replace(pictured_days(job, calibration), limits=limits)
    warn_of_left_out(job, days.left_out())
    published = job.published()
    compared = PictureDays.told(index, job.state().told)
    job.tell(PICTURE_DAYS, days.write(index))
    job.at_end.callback(remove_folder, index, folder)
    added = days.added_to(compared) if compared else None
    job.note("days_replaced", "all" if added is None else added)
    if added is None:
        return _whole(job, days, published, folder, calibration)
    return _added(job, days, added, folder, calibration)


def _whole(job: Job[Any], days: PictureDays, published: Any, folder: str, calibration: Calibration) -> Any:
    """All rows, for when days were replaced or came in between; pictures that were compared before are not compared
    again."""
    from pyspark.sql import functions as F

    limits, blocks = Limits.of(calibration), days.blocks()
    before = published.where(f"verifier = '{limits.verifier}'")
    before = before.where(f"within_code >= {limits.code} AND within_whole >= {limits.whole}")
    known = before.where("other IS NULL").select(PICTURE).distinct().withColumn("is_known", F.lit(True))
    told = (
        first_places(job, blocks).join(known, PICTURE, "left").selectExpr("block", "row", "is_known IS NULL AS is_new")
    )
    compared = _parts(job, told, folder, blocks)
    found = _found(job, compared, folder, calibration)
    near = f"other IS NOT NULL AND (distance <= {limits.code} OR whole_distance <= {limits.whole})"
    pairs = before.where(near).select(*PAIRS.names).unionByName(found)
    pictures, ends = places(job, blocks), pairs.select(PICTURE).union(pairs.select("other")).distinct()
    return _rows(pictures, _placed(pairs, _firsts(pictures.join(ends, PICTURE, "left_semi"))), limits)


def _added(job: Job[Any], days: PictureDays, added: Sequence[str], folder: str, calibration: Calibration) -> Any:
    """The rows of days that came after all others; no other rows change."""
    from pyspark.sql import functions as F

    new, old = days.blocks(added), days.blocks([day for day in sorted(days.days) if day not in added])
    pictures = places(job, new)
    known = task_per(job, old).mapInArrow(
        partial(known_batches, index=job.settings.index, blocks=old, new=new), "block int, row int"
    )
    firsts = first_places(job, new).select("block", "row")
    told = firsts.join(known.distinct(), ["block", "row"], "left_anti").withColumn("is_new", F.lit(True))
    compared = _parts(job, told, folder, new) + old
    # A picture of several old days is compared several times.
    found = _found(job, compared, folder, calibration).dropDuplicates([PICTURE, "other"])
    ends = found.select(PICTURE).union(found.select("other"))
    job.replaces(Part.of_days(added))
    return _rows(pictures, _placed(found, _firsts(look_up(job, folder, ends, days.blocks()))), Limits.of(calibration))


def _firsts(pictures: Any) -> Any:
    """Each picture's first row over all days."""
    from pyspark.sql import functions as F

    return pictures.groupBy(PICTURE).agg(F.min(F.struct(*PLACE)).alias("place"))


def _parts(job: Job[Any], told: Any, folder: str, blocks: Sequence[Block]) -> list[Block]:
    """The pictures to compare, each once, as blocks of new and of known ones; pictures that fill a block stay there.

    told: (block, row, is_new), once for each picture.
    """
    part = partial(part_batches, index=job.settings.index, folder=folder, blocks=blocks)
    tasks = max(1, min(len(blocks), 4 * job.settings.partitions))
    found = told.repartition(tasks, "block").mapInArrow(part, BLOCK_ROW).collect()
    return sorted((Block(**row.asDict()) for row in found), key=lambda block: (block.rows, block.name))


def _found(job: Job[Any], blocks: list[Block], folder: str, calibration: Calibration) -> Any:
    """The verified pairs of the new pictures with all; each task compares two bundles of blocks and writes what it
    finds to the folder."""
    new, every = (sum(block.rows for block in blocks if block.is_new or not is_new) for is_new in (True, False))
    job.note("pictures", {"new": new, "all": every})
    # Two tasks a core, less one: with two cores half of the pictures with the other half takes as long as both with
    # themselves.
    bundles = bundles_of(blocks, job.settings.partitions - 1)
    parts = part_count(bundles, job.settings.partitions)
    tasks = tile_count(bundles) * parts
    index = job.settings.index
    compare = partial(compared_tiles, index=index, bundles=bundles, calibration=calibration, parts=parts)
    write = partial(pair_files, index=index, folder=folder, compared=compare)
    told = job.spark.range(0, tasks, 1, max(tasks, 1)).mapInArrow(write, FILE_ROW).collect()
    verified, files = sum(row["candidates"] for row in told), [row["file"] for row in told if row["file"]]
    job.note("candidates", {"verified": verified, "per_new_picture": round(verified / max(new, 1), 2)})
    read = job.spark.range(0, len(files), 1, max(1, min(len(files), 4 * job.settings.partitions)))
    return read.mapInArrow(partial(pairs_of_files, index=index, files=files), PAIR_ROW)


def _placed(pairs: Any, firsts: Any) -> Any:
    """Rows of the pairs whose pictures are both there; the later picture stands first."""
    from pyspark.sql import functions as F

    two = [
        firsts.select(F.col(PICTURE).alias(name), F.struct(*[f"place.{part}" for part in PLACE]).alias(f"{name}_place"))
        for name in (PICTURE, "other")
    ]
    placed = pairs.join(two[0], PICTURE).join(two[1], "other")
    is_later = "picture_place > other_place"
    ends = [
        F.expr(f"if({is_later}, {one}, {another}) AS {name}")
        for name, one, another in (
            ("later", "picture", "other"),
            ("earlier", "other", "picture"),
            ("later_place", "picture_place", "other_place"),
            ("earlier_place", "other_place", "picture_place"),
        )
    ]
    measures = [name for name in PAIRS.names if name not in (PICTURE, "other")]
    earlier = [F.col(f"earlier_place.{name}").alias(f"other_{name}") for name in PLACE]
    return placed.select(*ends, *measures).select(
        F.col("later").alias(PICTURE), "later_place.*", F.col("earlier").alias("other"), *earlier, *measures
    )


def _rows(pictures: Any, pairs: Any, limits: Limits) -> Any:
    """Rows of the dataset: each picture of each day, and each pair."""
    from pyspark.sql import functions as F

    named = {"reason": "ok", "verifier": limits.verifier, "within_code": limits.code, "within_whole": limits.whole}
    every = pictures.select(PICTURE, *PLACE, "copies").unionByName(pairs, allowMissingColumns=True)
    return every.withColumns({name: F.lit(value) for name, value in named.items()}).hint("rebalance", "day")


if __name__ == "__main__":
    runner.run("compare_pictures", plan)
