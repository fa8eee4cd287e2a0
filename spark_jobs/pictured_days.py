"""Days of `features` as blocks of distinct pictures. Blocks of days that have not changed are kept; tasks write the
others."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import Any

from spark_jobs.pictured_rows import PLACE, used_rows, withdrawn_now
from spark_jobs.running.runner import Job
from spark_jobs.sql import of_days
from spark_jobs.stages.block_writing import WRITTEN_ROW, block_batches
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import check_calibrated, one_version
from spark_jobs.stages.picture_blocks import (
    PICTURE,
    PLACE_ROW,
    ROW_BITS,
    Block,
    found_batches,
    name_batches,
    number_batches,
    place_batches,
    taken_batches,
)
from spark_jobs.stages.picture_days import Kind, PictureDay, PictureDays, newest, usual_size
from spark_jobs.stages.signature_rows import HAS_LENGTHS, SIGNATURES

BLOCK = 65536
"""Pictures in a block: 32 MB, and 4 billion comparisons with another block."""
_SMALLEST = 4096
_MOST_SMALL = 16  # blocks of a day below the full size: a shop has hundreds of days, and each task knows all blocks
_OF_ONE_TASK = 1 << 20
_BLOCK_AND_ROW = (
    f"CAST(shiftright(number, {ROW_BITS}) AS int) AS block",
    f"CAST(number & {(1 << ROW_BITS) - 1} AS int) AS row",
)
_CONTENT = f"hex(bit_xor(xxhash64({', '.join((*PLACE, 'reason', 'model_version', *SIGNATURES))}))) AS content"


def pictured_days(job: Job[Any], calibration: Calibration) -> PictureDays:
    """Every day of the pinned `features` with the blocks of its pictures; blocks that are not kept are written.

    Raises:
        ValueError: no used row has a descriptor, or the rows are of several models, or of another than the calibration.
    """
    kept, files = newest(job.settings.index), _files(job)
    changed = [day for day, (name, _) in files.items() if day not in kept.days or kept.days[day].files != name]
    seen = _seen(job, changed, is_all=len(changed) == len(files))
    days = {day: kept.days[day] for day in files if day not in changed}
    for day in changed:
        content, kinds = seen.get(day, ("", ()))
        old = kept.days.get(day)
        kept_of = (old.blocks, old.not_finite) if old and old.content == content else ()
        days[day] = PictureDay(files[day][0], content, files[day][1], kinds, *kept_of)
    check_calibrated(one_version(PictureDays(0, None, days).model_versions()), calibration)
    size = usual_size([kind for day in days.values() for kind in day.kinds])
    is_other = size != kept.descriptor_bytes
    missing = [d for d in days if is_other or d not in kept.days or kept.days[d].content != days[d].content]
    written = _written(job, days, missing, size)
    days |= {day: _with_blocks(days[day], written.get(day, [])) for day in missing}
    job.note("days_read", len(changed))
    return PictureDays(size, None, days)


def _files(job: Job[Any]) -> dict[str, tuple[str, int]]:
    """Day -> a name that stands for its files and the keys withdrawn from it, and how many rows these files have.

    Rows are read only where keys are withdrawn, and only their keys.
    """
    table, snapshot = job.settings.table("features"), job.record.inputs["features"]
    files = job.spark.read.option("versionAsOf", snapshot).table(f"{table}.files")
    paths = "sha2(concat_ws(' ', array_sort(collect_list(file_path))), 256)"
    rows = "sum(IF(content = 0, record_count, 0))"
    found = files.groupBy("partition.day").agg(_sql(paths, "paths"), _sql(rows, "rows")).collect()
    gone = _withdrawn_from(job)
    return {str(row["day"]): (row["paths"][:32] + gone.get(str(row["day"]), ""), row["rows"]) for row in found}


def _withdrawn_from(job: Job[Any]) -> dict[str, str]:
    """Day -> a hash of the keys that are withdrawn from it."""
    keys = withdrawn_now(job)
    if keys.isEmpty():
        return {}
    rows = job.read("features", ("day", "key")).join(keys, "key", "left_semi").distinct()
    hashes = rows.groupBy("day").agg(_sql("hex(bit_xor(xxhash64(key)))", "gone"))
    return {str(row["day"]): row["gone"] for row in hashes.collect()}


def _seen(job: Job[Any], days: Sequence[str], is_all: bool) -> dict[str, tuple[str, tuple[Kind, ...]]]:
    """A hash of the rows of days, and the kinds of their used rows."""
    if not days:
        return {}
    kinds = ("reason = 'ok' AS is_used", "octet_length(descriptor) AS size", f"{HAS_LENGTHS} AS is_whole")
    rows = _of_days(used_rows(job), days, is_all).selectExpr("*", *kinds)
    counted = rows.groupBy("day", "is_used", "model_version", "size", "is_whole").agg(
        _sql("count(*)", "rows"), _sql(_CONTENT)
    )
    found = sorted(counted.collect(), key=str)
    told = {}
    for day, same in groupby(sorted(found, key=lambda row: str(row["day"])), key=lambda row: str(row["day"])):
        alike = list(same)
        used = [
            Kind(row["model_version"], row["size"], row["is_whole"], row["rows"]) for row in alike if row["is_used"]
        ]
        content = hashlib.sha256("".join(f"{row['rows']} {row['content']} " for row in alike).encode()).hexdigest()
        told[day] = content[:32], tuple(used)
    return told


def _with_blocks(day: PictureDay, written: Sequence[tuple[str | None, int, int]]) -> PictureDay:
    """The day with the blocks that were written for it. written: (name, rows, left out) of each."""
    blocks = sorted((name, rows) for name, rows, _ in written if name)
    return replace(day, blocks=tuple(blocks), not_finite=sum(left_out for *_, left_out in written))


def _written(job: Job[Any], days: dict[str, PictureDay], missing: Sequence[str], size: int) -> dict[str, list[Any]]:
    """Let tasks write the blocks of some days -> (name, rows, left out), by day. A picture's signatures decide which
    block it is in."""
    if not missing:
        return {}
    rows = {day: days[day].rows for day in missing}
    count = {
        day: max(math.ceil(n / BLOCK), min(job.settings.partitions, math.ceil(n / _SMALLEST), _MOST_SMALL), 1)
        for day, n in rows.items()
    }
    buckets = job.spark.createDataFrame(
        [(date.fromisoformat(day), n) for day, n in count.items()], "day date, buckets bigint"
    )
    is_compared = f"reason = 'ok' AND octet_length(descriptor) = {size} AND {HAS_LENGTHS}"
    pictures = _of_days(used_rows(job), missing, len(missing) == len(days)).where(is_compared)
    bucket = f"CAST(pmod(xxhash64({', '.join(SIGNATURES)}), buckets) AS bigint) AS bucket"
    pictures = pictures.join(buckets.hint("broadcast"), "day").selectExpr("day", bucket, "key", "crop", *SIGNATURES)
    tasks = max(min(job.settings.partitions, sum(count.values())), math.ceil(sum(rows.values()) / BLOCK))
    write = partial(block_batches, index=job.settings.index)
    blocks: dict[str, list[Any]] = {}
    for row in pictures.repartition(tasks, "day", "bucket").mapInArrow(write, WRITTEN_ROW).collect():
        blocks.setdefault(str(row["day"]), []).append((row["name"], row["rows"], row["left_out"]))
    return blocks


def places(job: Job[Any], blocks: Sequence[Block]) -> Any:
    """The pictures of blocks: rows of `picture_blocks.PLACES`."""
    return task_per(job, blocks).mapInArrow(partial(place_batches, index=job.settings.index, blocks=blocks), PLACE_ROW)


def first_places(job: Job[Any], blocks: Sequence[Block]) -> Any:
    """Each picture of blocks, which are in order of their days: (picture, block, row) where its first day has it.

    One number says block and row, since Spark compares a single number in place but sorts all rows by several columns.
    """
    return (
        numbered(job, blocks).groupBy(PICTURE).agg(_sql("min(number)", "number")).selectExpr(PICTURE, *_BLOCK_AND_ROW)
    )


def numbered(job: Job[Any], blocks: Sequence[Block]) -> Any:
    """The pictures of blocks: (picture, number, copies); `_BLOCK_AND_ROW` are the parts of the number."""
    number = partial(number_batches, index=job.settings.index, blocks=blocks)
    return task_per(job, blocks).mapInArrow(number, f"{PICTURE} string, number bigint, copies bigint")


def shown_together(job: Job[Any], labels: Any, blocks: Sequence[Block]) -> Any:
    """The pictures that several rows show, and those of `labels`, in all blocks that have them: rows of FOUND_ROW.

    Each task gets the places of those in its blocks, so that the signatures of other pictures are not moved.
    """
    copies = f"sum(copies) OVER (PARTITION BY {PICTURE}) AS copies"
    named = labels.select(PICTURE, _sql("true", "is_labelled"))
    wanted = numbered(job, blocks).selectExpr(PICTURE, "number", copies).join(named, PICTURE, "left")
    at = wanted.where("copies > 1 OR is_labelled").selectExpr(*_BLOCK_AND_ROW)
    take = partial(taken_batches, index=job.settings.index, blocks=blocks)
    return at.repartition(max(1, min(len(blocks), 4 * job.settings.partitions)), "block").mapInArrow(take, FOUND_ROW)


def look_up(job: Job[Any], folder: str, names: Any, blocks: Sequence[Block]) -> Any:
    """The pictures of a column of names, in all blocks that have them: rows of FOUND_ROW, with their signatures.

    folder: that of the run. One task writes all names to a file there, and the tasks that search blocks read it: no
        name passes the driver.
    """
    write = partial(name_batches, index=job.settings.index, folder=folder)
    (told,) = names.distinct().coalesce(1).mapInArrow(write, "file string").collect() or [{"file": ""}]
    find = partial(found_batches, index=job.settings.index, blocks=blocks, names=told["file"])
    return task_per(job, blocks).mapInArrow(find, FOUND_ROW)


FOUND_ROW = f"{PLACE_ROW}, keys array<string>, crops array<int>, " + ", ".join(f"{name} binary" for name in SIGNATURES)


def task_per(job: Job[Any], blocks: Sequence[Block]) -> Any:
    """Numbers of blocks (`id`), several to each task."""
    tasks = max(
        min(len(blocks), job.settings.partitions), math.ceil(sum(block.rows for block in blocks) / _OF_ONE_TASK)
    )
    return job.spark.range(0, len(blocks), 1, max(tasks, 1))


def _of_days(rows: Any, days: Sequence[str], is_all: bool) -> Any:
    return rows if is_all else rows.where(of_days(days))


def _sql(expression: str, name: str = "") -> Any:
    from pyspark.sql import functions as F

    return F.expr(f"{expression} AS {name}" if name else expression)
