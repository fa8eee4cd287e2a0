"""Chooses how alike two pictures must be to be duplicates, on changed copies of the catalogue's own pictures, without labels.

The result is `calibration.json` beside the index; `find_duplicates` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from dlcore.interop.artefact import load_artefact
from spark_jobs import runner
from spark_jobs.runner import Job
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.calibration import Calibration, Target, calibrate, read_copies, signatures_of, verifier_from
from spark_jobs.stages.changed_copies import SCHEMA, copy_batches
from spark_jobs.stages.duplicates import COLUMNS, one_version

_BOX = ("x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True)
class Options:
    """How the thresholds are chosen."""

    models: str = field(default="", metadata={"help": "URI of the folder of artefacts; empty: that of the settings"})
    extractor: str = field(default="deepbit-small", metadata={"help": "artefact that made the codes"})
    pictures: int = field(default=160, metadata={"help": "pictures of the catalogue to change"})
    copies: int = field(default=8, metadata={"help": "changed copies of each"})
    precision: float = field(default=0.99, metadata={"help": "share of right pairs that the groups must reach"})


def plan(job: Job[Options]) -> None:
    """Change a sample of the catalogue's pictures on the workers, choose the thresholds here."""
    options, models = job.options, job.options.models or job.settings.models
    copy = partial(copy_batches, models=models, extractor=options.extractor, copies=options.copies)
    copies = _sample(job).repartition(job.settings.partitions).mapInArrow(copy, _spark_schema()).toArrow()
    features = job.read("features", COLUMNS).where("code IS NOT NULL").toArrow()
    artefact = load_artefact(artefact_uri(models, options.extractor))
    version = one_version([*features.column("model_version").to_pylist(), artefact.version])
    verifier = verifier_from(artefact.metadata["verifier"])
    originals, views = read_copies(copies)
    target = Target(precision=options.precision)
    calibration = calibrate(verifier, version, originals, views, signatures_of(features), target)
    calibration.write(job.settings.index)
    _report(job, calibration, target)


def _sample(job: Job[Options]) -> Any:
    """The pictures to change, chosen by a hash of their keys: the same for the same catalogue."""
    crops = job.read("crops", ("day", "key", *_BOX)).where("x_min IS NOT NULL AND crop = 0")
    chosen = (
        crops.selectExpr("*", "xxhash64(day, key) AS place").orderBy("place", "day", "key").limit(job.options.pictures)
    )
    rows = chosen.drop("place").toArrow()
    days, keys = (sorted(set(rows.column(name).to_pylist())) for name in ("day", "key"))
    images = job.read("images", ("day", "key", "image"))
    near = images.where(images["day"].isin(days) & images["key"].isin(keys))
    return near.join(job.spark.createDataFrame(rows), ["day", "key"])


def _report(job: Job[Options], calibration: Calibration, target: Target) -> None:
    if missed := target.missed(calibration.expected):
        job.warn(
            f"no threshold reaches its target, the highest gives {missed}; check the groups before relying on them"
        )
    job.report("threshold", calibration.threshold)
    job.report("code_distance", calibration.code_distance)
    job.report("hash_distance", calibration.hash_distance)
    job.report("expected", {k: v for k, v in calibration.expected.items() if not isinstance(v, np.ndarray)})


def _spark_schema() -> str:
    kinds = {"date32[day]": "date", "string": "string", "binary": "binary"}
    return ", ".join(f"{column.name} {kinds[str(column.type)]}" for column in SCHEMA)


if __name__ == "__main__":
    runner.run("calibrate_duplicates", plan, Options)
