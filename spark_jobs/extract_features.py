"""Turns each crop of a day into a binary code and what verifies it: crops -> features, one row for one row."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from spark_jobs import runner
from spark_jobs.past_runs import newest_report
from spark_jobs.runner import Job
from spark_jobs.stages.code_balance import Balance, balance, bit_sums, drift
from spark_jobs.stages.features import feature_batches


@dataclass(frozen=True)
class Options:
    """Which network makes the codes."""

    models: str = field(default="", metadata={"help": "URI of the folder of artefacts; empty: that of the settings"})
    extractor: str = field(default="deepbit-small", metadata={"help": "artefact to use"})
    keep_descriptor: bool = field(
        default=True, metadata={"help": "keep the real values of the bits: find_duplicates needs them"}
    )


def plan(job: Job[Options]) -> Any:
    """Each crop through the network, in as many tasks as the settings say."""
    crops = job.read("crops", ("day", "key", "crop", "reason", "image", "label", "whole_hash"))
    extract = partial(
        feature_batches,
        models=job.options.models or job.settings.models,
        extractor=job.options.extractor,
        keep_descriptor=job.options.keep_descriptor,
    )
    features = crops.repartition(job.settings.partitions).mapInArrow(extract, job.schema)
    return job.observe(features, "code_bits", partial(compared, job), **bit_sums())


def compared(job: Job[Options], sums: dict[str, Any]) -> Balance:
    """The balance of the codes' bits, and how far it is from that of the reference day, where that day has one.

    A day that was emptied or undone since has none: what its runs before had counted is not there any more.
    """
    found = balance(sums)
    day = job.settings.reference_day or str(job.day - timedelta(days=1) if job.day else "")
    try:
        earlier = newest_report(job.settings, job.stage.name, day) or {}
        reference = earlier.get("extra", {}).get("code_bits")
        return found | ({"drift": drift(found, reference), "reference_day": day} if reference else {})
    except Exception as error:  # by now all codes are computed
        job.warn(f"the codes' bits were not compared with day {day}: {type(error).__name__}: {error}")
        return found


if __name__ == "__main__":
    runner.run("extract_features", plan, Options)
