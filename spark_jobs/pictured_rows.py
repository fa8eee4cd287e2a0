"""Rows of `features` with the names of their pictures, and whether people have taken them down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_contracts.reasons import Reason
from spark_jobs.running.runner import Job
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.duplicates import check_calibrated, one_version
from spark_jobs.stages.picture_blocks import PICTURE
from spark_jobs.stages.picture_days import Kind, usual_size
from spark_jobs.stages.signature_rows import HAS_SIGNATURES, PICTURE_NAME, SIGNATURES

PLACE = ("day", "key", "crop")
HANDED_OUT = 500_000
"""Most rows with a key that every task may hold, some 100 MB; beyond that, both sides of a join are shuffled."""


def pictured_rows(job: Job[Any], calibration: Calibration) -> Any:
    """Rows of `features` with the name of their `picture`; it is null for a row that is not used or cannot be compared.

    Raises:
        ValueError: the used rows have codes of several model versions, or of another than the calibration's, or no
        descriptors.
    """
    version, rows = versioned_rows(job)
    check_calibrated(version, calibration)
    return rows


def versioned_rows(job: Job[Any]) -> tuple[str, Any]:
    """The model version of `features`, "" if no row is used, and the rows as `pictured_rows` gives them.

    Raises:
        ValueError: the used rows have codes of several model versions, or no descriptors.
    """
    from pyspark.sql import functions as F

    features = used_rows(job)
    size = F.expr("octet_length(descriptor) AS size")
    kinds = features.where("reason = 'ok'").groupBy("model_version", size, F.expr(f"{HAS_SIGNATURES} AS is_whole"))
    found = [Kind(row["model_version"], row["size"], row["is_whole"], row["count"]) for row in kinds.count().collect()]
    most = usual_size(found)
    warn_of_left_out(job, sum(kind.rows for kind in found if kind.descriptor_bytes != most or not kind.is_whole))
    return one_version([kind.model_version for kind in found]), named(features, most)


def named(features: Any, descriptor_bytes: int) -> Any:
    """The rows with the name of their `picture`; it is null for a row that is not used or cannot be compared."""
    from pyspark.sql import functions as F

    is_compared = f"reason = 'ok' AND octet_length(descriptor) = {descriptor_bytes} AND {HAS_SIGNATURES}"
    return features.withColumn(PICTURE, F.expr(f"if({is_compared}, {PICTURE_NAME}, NULL)"))


def warn_of_left_out(job: Job[Any], rows: int) -> None:
    """Warn where used rows cannot be compared."""
    if rows:
        job.warn(f"left out {rows} used rows whose signatures are missing or broken; extract their days again")


def used_rows(job: Job[Any], columns: Sequence[str] = (*PLACE, "reason", "model_version", *SIGNATURES)) -> Any:
    """The rows of `features`; those of withdrawn keys have that as their reason. columns: key and reason among them."""
    from pyspark.sql import functions as F

    rows, keys = job.read("features", columns), withdrawn_now(job)
    if not (count := keys.count()):
        return rows
    keys = keys.withColumn("decision", F.lit(str(Reason.WITHDRAWN)))
    told = rows.join(to_all(keys, count <= HANDED_OUT), "key", "left")
    decided = F.expr("IF(reason = 'ok', coalesce(decision, reason), reason)")
    return told.withColumn("reason", decided).select(*columns)


def to_all(few: Any, is_small: bool) -> Any:
    """The rows as one side of a join; if they are few enough to pass through the driver, every task gets them."""
    return few.hint("broadcast") if is_small else few


def withdrawn_now(job: Job[Any]) -> Any:
    """The keys that are withdrawn now."""
    from pyspark.sql import functions as F

    decisions = job.read("withdrawn").groupBy("key").agg(F.expr("max_by(reason, at) AS decision"))
    return decisions.where(f"decision = '{Reason.WITHDRAWN}'").select("key")
