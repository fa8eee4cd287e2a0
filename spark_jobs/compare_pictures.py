"""Compares the pictures that are new with all: features -> duplicate_pairs, the verified pairs of distinct pictures of all days."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from data_contracts.reasons import Reason
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.runner import Job
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import check_calibrated, one_version
from spark_jobs.stages.pairs import CANDIDATES, PAIRS, Limits, block_batches, bundles_of, compared_tiles, tile_count
from spark_jobs.stages.picture_blocks import PICTURE, Block, folder_of_run, remove_blocks
from spark_jobs.stages.signature_rows import HAS_SIGNATURES, PICTURE_NAME, SIGNATURES

BLOCK = 65536
"""Pictures of a block: 32 MB, and 4 billion comparisons with another."""
_SMALLEST = 4096
_PLACE = ("day", "key", "crop")


def plan(job: Job[NoOptions]) -> Any:
    """Blocks of pictures go from worker to worker; the driver knows their names and how many pictures each has."""
    calibration = Calibration.read(job.settings.index)
    limits = Limits.of(calibration)
    rows = pictured_rows(job, calibration).where("picture IS NOT NULL")
    before = job.published().where(f"verifier = '{limits.verifier}'")
    before = before.where(f"within_code >= {limits.code} AND within_whole >= {limits.whole}")
    folder = folder_of_run(job.settings.index)
    job.at_end.callback(remove_blocks, folder)
    blocks = _blocks(job, rows, before, folder)
    new, every = (sum(block.rows for block in blocks if block.is_new or not is_new) for is_new in (True, False))
    job.note("pictures", {"new": new, "all": every})
    found = _kept(before, limits).unionByName(_found(job, blocks, folder, calibration))
    return _rows(rows, found, limits)


def pictured_rows(job: Job[Any], calibration: Calibration) -> Any:
    """Rows of `features` with the name of their `picture`, null for one that is not used or cannot be compared.

    Raises:
        ValueError: the used rows have codes of several model versions, or of another than the calibration's, or no descriptors.
    """
    version, rows = versioned_rows(job)
    check_calibrated(version, calibration)
    return rows


def versioned_rows(job: Job[Any]) -> tuple[str, Any]:
    """The model version of `features`, "" without used rows, and the rows as `pictured_rows` gives them.

    Raises:
        ValueError: the used rows have codes of several model versions, or no descriptors.
    """
    from pyspark.sql import functions as F

    features = _without_withdrawn(job, job.read("features", (*_PLACE, "reason", "model_version", *SIGNATURES)))
    size = F.expr("octet_length(descriptor) AS size")
    kinds = features.where("reason = 'ok'").groupBy("model_version", size, F.expr(f"{HAS_SIGNATURES} AS is_whole"))
    found = kinds.count().collect()
    most = _usual_size(found)
    left_out = sum(row["count"] for row in found if row["size"] != most or not row["is_whole"])
    if left_out:
        job.warn(f"left {left_out} used rows out that lack signatures or have broken ones; extract their days again")
    is_compared = f"reason = 'ok' AND octet_length(descriptor) = {most} AND {HAS_SIGNATURES}"
    rows = features.withColumn(PICTURE, F.expr(f"if({is_compared}, {PICTURE_NAME}, NULL)"))
    return one_version([row["model_version"] for row in found]), rows


def _without_withdrawn(job: Job[Any], rows: Any) -> Any:
    """The rows, those of withdrawn keys with that as their reason."""
    from pyspark.sql import functions as F

    told = rows.join(withdrawn_now(job).withColumn("decision", F.lit(str(Reason.WITHDRAWN))), "key", "left")
    return told.withColumn("reason", F.expr("IF(reason = 'ok', coalesce(decision, reason), reason)")).drop("decision")


def withdrawn_now(job: Job[Any]) -> Any:
    """The keys that are withdrawn."""
    from pyspark.sql import functions as F

    decisions = job.read("withdrawn").groupBy("key").agg(F.expr("max_by(reason, at) AS decision"))
    return decisions.where(f"decision = '{Reason.WITHDRAWN}'").select("key")


def _usual_size(kinds: Sequence[Any]) -> int:
    """Bytes of most descriptors; 0 where there is no used row."""
    counts: Counter[int] = Counter()
    for row in kinds:
        counts[row["size"] or 0] += row["count"]
    if set(counts) == {0}:
        raise ValueError("got features without descriptors, expected them: run extract_features with descriptors kept")
    del counts[0]
    return max(counts, key=lambda size: (counts[size], size), default=0)


def _blocks(job: Job[Any], rows: Any, before: Any, folder: str) -> list[Block]:
    """Write the distinct pictures to blocks; those compared before are known by their names.

    A place in the folder is a picture's by its name, so that equal ones meet in one task, which keeps one of them.
    """
    from pyspark.sql import functions as F

    known = before.where("other IS NULL").select(PICTURE)
    unknown = [F.lit(None).cast("binary").alias(name) for name in SIGNATURES]
    both = rows.select(PICTURE, *SIGNATURES).unionByName(known.select(PICTURE, *unknown))
    most = max(job.record.rows_in or 0, 1)
    count = max(math.ceil(most / BLOCK), min(job.settings.partitions, math.ceil(most / _SMALLEST)))
    write = partial(block_batches, folder=folder)
    found = both.repartition(count, PICTURE).mapInArrow(write, "name string, rows bigint, is_new boolean").collect()
    return sorted((Block(**row.asDict()) for row in found), key=lambda block: (block.rows, block.name))


def _found(job: Job[Any], blocks: list[Block], folder: str, calibration: Calibration) -> Any:
    """The verified pairs of the new pictures with all, a task for each two bundles of blocks."""
    new = sum(block.rows for block in blocks if block.is_new)
    bundles = bundles_of(blocks, 2 * job.settings.partitions)
    tiles = tile_count(bundles)
    compare = partial(compared_tiles, folder=folder, bundles=bundles, calibration=calibration)
    schema = "picture string, other string, distance int, whole_distance int, similarity float, probability double"
    pairs = job.spark.range(0, tiles, 1, max(tiles, 1)).mapInArrow(compare, schema).localCheckpoint()
    verified = pairs.where(f"picture = '{CANDIDATES}'").selectExpr("sum(probability)").collect()[0][0]
    job.note("candidates", {"verified": int(verified or 0), "per_new_picture": round((verified or 0) / max(new, 1), 2)})
    return pairs.where(f"picture <> '{CANDIDATES}'")


def _kept(before: Any, limits: Limits) -> Any:
    """The pairs of before that are still within the limits."""
    near = f"other IS NOT NULL AND (distance <= {limits.code} OR whole_distance <= {limits.whole})"
    return before.where(near).select(*PAIRS.names)


def _rows(rows: Any, pairs: Any, limits: Limits) -> Any:
    """Rows of the dataset: each picture, and each pair whose pictures are both there, the one that came later first."""
    from pyspark.sql import functions as F

    place = F.min(F.struct(*_PLACE)).alias("place")
    pictures = rows.groupBy(PICTURE).agg(place, F.count("*").alias("copies")).select(PICTURE, "place.*", "copies")
    two = [
        pictures.select(F.col(PICTURE).alias(name), F.struct(*_PLACE).alias(f"{name}_place"))
        for name in ("picture", "other")
    ]
    placed = pairs.join(two[0], "picture").join(two[1], "other")
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
    earlier = [F.col(f"earlier_place.{name}").alias(f"other_{name}") for name in _PLACE]
    ordered = placed.select(*ends, *measures).select(
        F.col("later").alias(PICTURE), "later_place.*", F.col("earlier").alias("other"), *earlier, *measures
    )
    named = {"reason": "ok", "verifier": limits.verifier, "within_code": limits.code, "within_whole": limits.whole}
    every = pictures.unionByName(ordered, allowMissingColumns=True)
    return every.withColumns({name: F.lit(value) for name, value in named.items()}).hint("rebalance", "day")


if __name__ == "__main__":
    runner.run("compare_pictures", plan)
