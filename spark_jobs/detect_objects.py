"""Finds the products in each image of a day: images -> detections, one row for one row."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spark_jobs import runner
from spark_jobs.runner import Job
from spark_jobs.stages.detect import NO_DETECTOR, detect_batches


@dataclass(frozen=True)
class Options:
    """Which detector looks."""

    models: str = field(default="", metadata={"help": "URI of the folder of artefacts; empty: that of the settings"})
    detector: str = field(
        default="detector-small", metadata={"help": f"artefact to use; '{NO_DETECTOR}': codes are of whole images"}
    )


def plan(job: Job[Options]) -> Any:
    """Each image through the detector, in as many tasks as the settings say."""
    images = job.read("images", ("day", "key", "reason", "image")).repartition(job.settings.partitions)
    find = partial(detect_batches, models=job.options.models or job.settings.models, detector=job.options.detector)
    return images.mapInArrow(find, job.schema)


if __name__ == "__main__":
    runner.run("detect_objects", plan, Options)
