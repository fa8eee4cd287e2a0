"""Cuts the product out of each image of a day: images and detections -> crops."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spark_jobs.running import runner
from spark_jobs.running.runner import Job
from spark_jobs.stages.crop import CropPolicy, crop_batches


@dataclass(frozen=True)
class Options:
    """The crop policy."""

    margin: float = field(
        default=0.08,
        metadata={"min": 0, "max": 1, "help": "how much to keep around an object, as a share of its longer side"},
    )
    least_score: float = field(default=0.0, metadata={"help": "lowest score of an object to be cropped"})
    crops_per_image: int = field(
        default=1, metadata={"min": 1, "help": "most objects to cut out of an image, the likeliest products first"}
    )
    fall_back: bool = field(default=True, metadata={"help": "use the whole image where no object is found"})


def plan(job: Job[Options]) -> Any:
    """Each image beside its objects through the crop policy."""
    images = job.read("images", ("day", "key", "reason", "image"))
    objects = job.read("detections", ("day", "key", "objects"))
    wanted = job.options
    policy = CropPolicy(
        margin=wanted.margin,
        least_score=wanted.least_score,
        most=wanted.crops_per_image,
        fall_back=wanted.fall_back,
    )
    rows = images.join(objects, ["day", "key"]).repartition(job.settings.partitions)
    return rows.mapInArrow(partial(crop_batches, policy=policy), job.schema)


if __name__ == "__main__":
    runner.run("crop_objects", plan, Options)
