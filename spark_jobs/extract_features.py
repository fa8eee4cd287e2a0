"""Turns each crop of a day into a binary code and what verifies it: crops -> features, one row for each crop."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from dlcore.interop.artefact import metadata_of, with_version
from dlcore.vision.extractor import code_bits, wants_wholes
from spark_jobs.run_reports.reading import newest_report
from spark_jobs.running import runner
from spark_jobs.running.command_line import ExtractorOptions
from spark_jobs.running.extractors import pinned_extractor
from spark_jobs.running.runner import Job
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.code_balance import Balance, balance, bit_sums, drift
from spark_jobs.stages.features import WHOLE, feature_batches


@dataclass(frozen=True)
class Options(ExtractorOptions):
    """Which network computes the codes."""

    keep_descriptor: bool = field(
        default=True, metadata={"help": "keep the real values behind the bits, which find_duplicates needs"}
    )


def plan(job: Job[Options]) -> Any:
    """Each crop goes through the network, with its image if the network codes both, in as many tasks as the settings
    say."""
    models = job.options.models or job.settings.models
    extractor = pinned_extractor(job, models, job.options.extractor)
    metadata = metadata_of(artefact_uri(models, extractor))
    extract = partial(feature_batches, models=models, extractor=extractor, keep_descriptor=job.options.keep_descriptor)
    crops = job.read("crops", ("day", "key", "crop", "reason", "image", "label", "whole_hash"))
    rows = with_images(job, crops) if wants_wholes(metadata) else crops
    features = rows.repartition(job.settings.partitions).mapInArrow(extract, job.schema)
    return job.observe(features, "code_bits", partial(compared, job), **bit_sums(code_bits(metadata)))


def with_images(job: Job[Options], crops: Any) -> Any:
    """The crops with the images they were cut from. Neither side is sent to all workers: Spark underestimates image
    bytes."""
    images = job.read("images", ("day", "key", "image")).withColumnRenamed("image", WHOLE)
    return crops.join(images.hint("merge"), ["day", "key"], "left")


def compared(job: Job[Options], sums: dict[str, Any]) -> Balance:
    """The balance of the codes' bits, and how far it is from that of the reference day, if that day has one.

    A day that has been emptied or undone since has none: what its earlier runs counted is gone.
    """
    found = balance(sums)
    day = job.settings.reference_day or str(job.day - timedelta(days=1) if job.day else "")
    try:
        earlier = (newest_report(job.settings, job.stage.name, day) or {}).get("extra", {})
        reference = earlier.get("code_bits")
        _warn_of_another_model(job, earlier.get("artefacts", {}), day)
        return found | ({"drift": drift(found, reference), "reference_day": day} if reference else {})
    except Exception as error:  # by now all codes are computed
        job.warn(f"the codes' bits were not compared with day {day}: {type(error).__name__}: {error}")
        return found


def _warn_of_another_model(job: Job[Options], before: dict[str, str], day: str) -> None:
    """Warn if the name of the extractor stands for another version than it did for the reference day.

    before: the artefact's name -> its version, on the reference day.
    """
    now = job.record.extra.get("artefacts", {})
    if before and now and set(before.values()) != set(now.values()):
        named = " ".join(with_version(*artefact) for artefact in before.items())
        job.warn(
            f"this day's codes are of model version {', '.join(now.values())}, those of day {day} of another; "
            f"similar_images takes one version: extract the other days again, or this one with extractor {named}"
        )


if __name__ == "__main__":
    runner.run("extract_features", plan, Options)
