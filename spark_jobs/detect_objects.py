"""Finds the products in each image of a day: images -> detections, one row for each image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from spark_jobs.running import runner
from spark_jobs.running.command_line import DetectorOptions
from spark_jobs.running.runner import Job
from spark_jobs.stages.detect import NO_DETECTOR, detect_batches


@dataclass(frozen=True)
class Options(DetectorOptions):
    """Which detector finds the products."""


def plan(job: Job[Options]) -> Any:
    """Each image through the detector, in as many tasks as the settings say."""
    images = job.read("images", ("day", "key", "reason", "image")).repartition(job.settings.partitions)
    models, name = job.options.models or job.settings.models, job.options.detector
    detector = name if name == NO_DETECTOR else job.pinned_artefact(models, name)
    find = partial(detect_batches, models=models, detector=detector)
    return images.mapInArrow(find, job.schema)


if __name__ == "__main__":
    runner.run("detect_objects", plan, Options)
