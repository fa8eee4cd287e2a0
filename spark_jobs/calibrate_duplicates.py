"""Chooses how alike two pictures must be to count as duplicates. It needs no labels: it changes copies of the
catalogue's own pictures.

The result is `calibration.json` beside the index; `find_duplicates` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dlcore.interop.artefact import load_artefact
from sample_data.catalogue.stronger_transforms import STRONGER
from sample_data.catalogue.transforms import TRANSFORMS, recoloured
from spark_jobs.pictured_rows import versioned_rows, withdrawn_now
from spark_jobs.running import runner
from spark_jobs.running.command_line import DetectorOptions, ExtractorOptions
from spark_jobs.running.extractors import pinned_extractor
from spark_jobs.running.runner import Job
from spark_jobs.settings import artefact_uri
from spark_jobs.sql import literal
from spark_jobs.stages.calibration import Calibration, Population, Target, calibrate, read_copies, verifier_from
from spark_jobs.stages.changed_copies import BOX, SCHEMA, Changes, copy_batches
from spark_jobs.stages.crop import DETECTION
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.stages.duplicates import one_version
from spark_jobs.stages.extractors import extractor_of_version
from spark_jobs.stages.pairs import NEAR_ROW, near_batches, step_of
from spark_jobs.stages.signature_rows import SIGNATURES, signatures_of

CHANGES = Changes({**TRANSFORMS, **STRONGER}, recoloured)
SAMPLE = 2048
"""Number of distinct pictures whose pairs show how often different ones are near by chance: 1 MB. Their names, which
are hashes, decide which."""
COUNTED = 512
"""Number of them whose duplicates are looked for in all of a larger catalogue."""
_COUNT_ERROR = 0.01  # relative, of the number of distinct pictures
_SPARE = 8  # times SAMPLE: how many pictures the rows that leave their tasks should show
_PLACE = ("day", "key")


@dataclass(frozen=True)
class Options(ExtractorOptions):
    """How the thresholds are chosen."""

    detector: str = field(
        default="",
        metadata={"help": "detector that cuts the copies, as in detect_objects; empty: the usual one, if any"},
    )
    pictures: int = field(default=160, metadata={"help": "number of pictures of the catalogue to change"})
    copies: int = field(default=8, metadata={"help": "number of changed copies of each picture"})
    precision: float = field(default=0.95, metadata={"help": "share of pairs in the groups that must be right"})
    candidates: float = field(
        default=20.0, metadata={"help": "most other pictures that a picture may be verified with by chance"}
    )


def plan(job: Job[Options]) -> None:
    """The workers change a sample of the catalogue's pictures; this process chooses the thresholds."""
    options, models = job.options, job.options.models or job.settings.models
    made_by, rows = versioned_rows(job)
    named = extractor_of_version(models, made_by, options.extractor) if made_by else options.extractor
    extractor = pinned_extractor(job, models, named)
    crops = _sampled_crops(job)
    copy = partial(
        copy_batches,
        models=models,
        extractor=extractor,
        detector=_detector(job, models, crops),
        changes=CHANGES,
        copies=options.copies,
    )
    copies = _sample(job, crops).repartition(job.settings.partitions).mapInArrow(copy, _spark_schema()).toArrow()
    artefact = load_artefact(artefact_uri(models, extractor))
    version = one_version([made_by or None, artefact.version])
    verifier = verifier_from(artefact.metadata["verifier"])
    if not len(copies) and _distances_before(job, version):
        job.warn("found no picture to change; the earlier calibration stays")
        return
    originals, views = read_copies(copies)
    target = Target(precision=options.precision, candidates=options.candidates)
    pictures = rows.where("picture IS NOT NULL").select("picture", *SIGNATURES)
    sample, count = sample_of(pictures)
    population = replace(population_of(pictures, sample, count), before=_distances_before(job, version))
    calibration = calibrate(verifier, version, originals, views, signatures_of(sample), target, population)
    calibration.write(job.settings.index)
    _report(job, calibration, target)
    overlap = pc.mean(copies.column("overlap")).as_py()
    if overlap is not None:
        job.note("repeatability", round(overlap, 3))


def sample_of(pictures: Any) -> tuple[pa.Table, int]:
    """Rows (picture, signatures) -> those of SAMPLE distinct pictures, or of all; and about how many there are.

    Those of the lowest names are taken. In a larger catalogue only rows with names about as low leave their tasks.
    """
    from pyspark.sql import functions as F

    count = pictures.select(F.approx_count_distinct("picture", _COUNT_ERROR)).collect()[0][0]
    low = min(_SPARE * SAMPLE / max(count, 1), 1.0)
    few = pictures if low == 1.0 else pictures.where(F.col("picture") < f"{int(low * 16**8):08x}")
    sample = few.dropDuplicates(["picture"]).orderBy("picture").limit(SAMPLE).toArrow()
    return sample, max(count, SAMPLE) if len(sample) == SAMPLE else len(sample)


def population_of(pictures: Any, sample: pa.Table, count: int) -> Population:
    """The catalogue of so many pictures that the sample stands for. If it is larger than the sample, the workers count
    its pairs: those of a part of the sample with all pictures. The pictures stay where they are read."""
    if count <= len(sample):
        return Population.of_whole(signatures_of(sample))
    few = sample.slice(0, COUNTED)
    scale = count * (count - 1) / 2 / (len(few) * (count - len(few)))  # the few are compared with all others

    def found(calibration: Calibration) -> Callable[[float], float]:
        near = pictures.mapInArrow(partial(near_batches, sample=few, calibration=calibration), NEAR_ROW)
        counted = near.dropDuplicates(["picture", "other"]).groupBy("step").count().collect()
        steps = {row["step"]: row["count"] for row in counted}
        return lambda threshold: scale * sum(n for step, n in steps.items() if step >= step_of(threshold))

    return Population(count, found, scale=scale)


def _distances_before(job: Job[Options], version: str) -> tuple[int, int] | None:
    """The distances of the calibration that this one replaces, if that one can be read and is for the same model."""
    try:
        old = Calibration.read(job.settings.index)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return (old.code_distance, old.hash_distance) if old.model_version == version else None


def _sampled_crops(job: Job[Options]) -> pa.Table:
    """The crops of the pictures to change. A hash of their keys chooses them, so the same catalogue gives the same
    crops."""
    crops = job.read("crops", (*_PLACE, *BOX, "source")).where("x_min IS NOT NULL AND crop = 0")
    crops = crops.join(withdrawn_now(job), "key", "left_anti")
    chosen = crops.selectExpr("*", "xxhash64(day, key) AS place").orderBy("place", *_PLACE).limit(job.options.pictures)
    return chosen.drop("place").toArrow()


def _detector(job: Job[Options], models: str, crops: pa.Table) -> str:
    """The detector that cuts the copies; empty if none has cut the pictures."""
    asked = job.options.detector
    if asked == NO_DETECTOR or DETECTION not in crops.column("source").to_pylist():
        return NO_DETECTOR
    try:
        return job.pinned_artefact(models, asked or DetectorOptions.detector)
    except FileNotFoundError:
        if asked:
            raise
        job.warn(
            f"there is no detector {DetectorOptions.detector!r} in {models}: copies are compared whole, and "
            f"thresholds promise too "
            "much; name the detector that cut the pictures"
        )
        return NO_DETECTOR


def _sample(job: Job[Options], crops: pa.Table) -> Any:
    """The pictures to change with their boxes, each with another one, whose thing and backdrop make look-alikes of
    it."""
    named = crops.select([*_PLACE, *BOX])
    near = job.read("images", (*_PLACE, "image")).where(_of_crops(named))
    own = near.join(job.spark.createDataFrame(_with_others(named)), list(_PLACE))
    others = [near[name].alias(f"other_{name}") for name in (*_PLACE, "image")]
    return own.join(near.select(*others), [f"other_{name}" for name in _PLACE], "left")


def _of_crops(crops: pa.Table) -> str:
    """Spark SQL for the images of these crops. Each day is asked for its own keys only, so that of its files just the
    parts with these keys are read."""
    keys: dict[Any, set[str]] = {}
    for day, key in zip(*(crops.column(name).to_pylist() for name in _PLACE), strict=True):
        keys.setdefault(day, set()).add(key)
    of_day = (f"(day = DATE '{day}' AND key IN ({', '.join(map(literal, sorted(keys[day])))}))" for day in sorted(keys))
    return " OR ".join(of_day) or "false"


def _with_others(crops: pa.Table) -> pa.Table:
    """Each crop with the next one's columns, as other_*: null where there is no other."""
    rows = np.roll(np.arange(len(crops)), -1) if len(crops) > 1 else [None] * len(crops)
    others = crops.take(pa.array(rows, pa.int64()))
    for name in crops.column_names:
        crops = crops.append_column(f"other_{name}", others.column(name))
    return crops


def _report(job: Job[Options], calibration: Calibration, target: Target) -> None:
    if missed := target.missed(calibration.expected):
        job.warn(
            f"no threshold reaches its target, the highest gives {missed}; check the groups before relying on them"
        )
    elif cost := target.cost(calibration.expected):
        job.warn(f"at the threshold that reaches its target, {calibration.threshold:.4f}, only {cost}")
    job.note("threshold", calibration.threshold)
    job.note("code_distance", calibration.code_distance)
    job.note("hash_distance", calibration.hash_distance)
    job.note("expected", {k: v for k, v in calibration.expected.items() if not isinstance(v, np.ndarray)})


def _spark_schema() -> str:
    kinds = {"date32[day]": "date", "string": "string", "binary": "binary", "float": "float"}
    return ", ".join(f"{column.name} {kinds[str(column.type)]}" for column in SCHEMA)


if __name__ == "__main__":
    runner.run("calibrate_duplicates", plan, Options)
