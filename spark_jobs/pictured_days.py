"""Days of `features` as blocks of distinct pictures: those of days that are what they were are kept, the others written by tasks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import groupby
from typing import Any

from spark_jobs.pictured_rows import PLACE, named, used_rows, withdrawn_now
from spark_jobs.running.runner import Job
from spark_jobs.sql import of_days
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import check_calibrated, one_version
from spark_jobs.stages.picture_blocks import (
    BLOCK_ROW,
    PICTURE,
    PLACE_ROW,
    Block,
    block_batches,
    found_batches,
    name_batches,
    place_batches,
)
from spark_jobs.stages.picture_days import Kind, PictureDay, PictureDays, newest, usual_size
from spark_jobs.stages.signature_rows import HAS_SIGNATURES, SIGNATURES

BLOCK = 65536
"""Pictures of a block: 32 MB, and 4 billion comparisons with another."""
_SMALLEST = 4096
_OF_ONE_TASK = 1 << 20
_CONTENT = f"hex(bit_xor(xxhash64({', '.join((*PLACE, 'reason', 'model_version', *SIGNATURES))}))) AS content"


def pictured_days(job: Job[Any], calibration: Calibration) -> PictureDays:
    """Every day of the pinned `features` with the blocks of its pictures, which are written where they are not kept.

    Raises:
        ValueError: no used row has a descriptor, or the rows are of several models or of another than the calibration.
    """
    kept, files = newest(job.settings.index), _files(job)
    changed = [day for day, (name, _) in files.items() if day not in kept.days or kept.days[day].files != name]
    seen = _seen(job, changed, is_all=len(changed) == len(files))
    days = {day: kept.days[day] for day in files if day not in changed}
    for day in changed:
        content, kinds = seen.get(day, ("", ()))
        old = kept.days.get(day)
        blocks = old.blocks if old and old.content == content else ()
        days[day] = PictureDay(files[day][0], content, files[day][1], kinds, blocks)
    check_calibrated(one_version(PictureDays(0, None, days).model_versions()), calibration)
    size = usual_size([kind for day in days.values() for kind in day.kinds])
    is_other = size != kept.descriptor_bytes
    missing = [d for d in days if is_other or d not in kept.days or kept.days[d].content != days[d].content]
    written = _written(job, days, missing, size)
    days |= {day: replace(days[day], blocks=tuple(written.get(day, ()))) for day in missing}
    job.note("days_read", len(changed))
    return PictureDays(size, None, days)


def _files(job: Job[Any]) -> dict[str, tuple[str, int]]:
    """Of every day a name for its files and for the keys withdrawn from it, and how many rows these files have.

    Rows are read only where keys are withdrawn, and of these the keys alone.
    """
    table, snapshot = job.settings.table("features"), job.record.inputs["features"]
    files = job.spark.read.option("versionAsOf", snapshot).table(f"{table}.files")
    paths = "sha2(concat_ws(' ', array_sort(collect_list(file_path))), 256)"
    rows = "sum(IF(content = 0, record_count, 0))"
    found = files.groupBy("partition.day").agg(_sql(paths, "paths"), _sql(rows, "rows")).collect()
    gone = _withdrawn_from(job)
    return {str(row["day"]): (row["paths"][:32] + gone.get(str(row["day"]), ""), row["rows"]) for row in found}


def _withdrawn_from(job: Job[Any]) -> dict[str, str]:
    """By day a hash of the keys that are withdrawn from it."""
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
    kinds = ("reason = 'ok' AS is_used", "octet_length(descriptor) AS size", f"{HAS_SIGNATURES} AS is_whole")
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


def _written(job: Job[Any], days: dict[str, PictureDay], missing: Sequence[str], size: int) -> dict[str, list[Any]]:
    """The blocks of some days, written by tasks: (name, rows), by day. A picture's name decides in which of its day's it is."""
    if not missing:
        return {}
    rows = {day: days[day].rows for day in missing}
    count = {
        day: max(math.ceil(n / BLOCK), min(job.settings.partitions, math.ceil(n / _SMALLEST)), 1)
        for day, n in rows.items()
    }
    buckets = job.spark.createDataFrame(
        [(date.fromisoformat(day), n) for day, n in count.items()], "day date, buckets bigint"
    )
    pictures = named(_of_days(used_rows(job), missing, len(missing) == len(days)), size).where("picture IS NOT NULL")
    pictures = pictures.join(buckets.hint("broadcast"), "day").selectExpr(
        "day", f"CAST(pmod(xxhash64({PICTURE}), buckets) AS bigint) AS bucket", PICTURE, "key", "crop", *SIGNATURES
    )
    tasks = max(min(job.settings.partitions, sum(count.values())), math.ceil(sum(rows.values()) / BLOCK))
    order = ("day", "bucket", PICTURE, "key", "crop")
    ordered = pictures.repartition(tasks, "day", "bucket").sortWithinPartitions(*order)
    blocks: dict[str, list[Any]] = {}
    for row in ordered.mapInArrow(partial(block_batches, index=job.settings.index), BLOCK_ROW).collect():
        blocks.setdefault(str(row["day"]), []).append((row["name"], row["rows"]))
    return {day: sorted(found) for day, found in blocks.items()}


def places(job: Job[Any], blocks: Sequence[Block]) -> Any:
    """The pictures of blocks: rows of `picture_blocks.PLACES`."""
    return task_per(job, blocks).mapInArrow(partial(place_batches, index=job.settings.index, blocks=blocks), PLACE_ROW)


def look_up(job: Job[Any], folder: str, names: Any, blocks: Sequence[Block]) -> Any:
    """The pictures of a column of names, in all blocks that have them: rows of FOUND_ROW, with their signatures.

    folder: of the run.   One task writes all names to a file there, which the tasks that search blocks read: none passes the driver.
    """
    write = partial(name_batches, index=job.settings.index, folder=folder)
    (told,) = names.distinct().coalesce(1).mapInArrow(write, "file string").collect() or [{"file": ""}]
    find = partial(found_batches, index=job.settings.index, blocks=blocks, names=told["file"])
    return task_per(job, blocks).mapInArrow(find, FOUND_ROW)


FOUND_ROW = f"{PLACE_ROW}, keys array<string>, crops array<int>, " + ", ".join(f"{name} binary" for name in SIGNATURES)


def task_per(job: Job[Any], blocks: Sequence[Block]) -> Any:
    """Numbers of blocks (`id`), some to a task."""
    tasks = max(
        min(len(blocks), job.settings.partitions), math.ceil(sum(block.rows for block in blocks) / _OF_ONE_TASK)
    )
    return job.spark.range(0, len(blocks), 1, max(tasks, 1))


def _of_days(rows: Any, days: Sequence[str], is_all: bool) -> Any:
    return rows if is_all else rows.where(of_days(days))


def _sql(expression: str, name: str = "") -> Any:
    from pyspark.sql import functions as F

    return F.expr(f"{expression} AS {name}" if name else expression)
