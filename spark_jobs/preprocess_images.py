"""Check and decode each image, make it canonical: the job `preprocess_images`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spark_jobs import runner
from spark_jobs.stages.decode import DECODER_VERSION, Limits, decode_batches

_DEFAULT = Limits()


@dataclass(frozen=True)
class Options:
    """The limits that a catalogue may set for itself."""

    max_side: int = field(default=_DEFAULT.max_side, metadata={"help": "longest side of the canonical image, pixels"})
    min_side: int = field(default=_DEFAULT.min_side, metadata={"help": "smaller images are not used, pixels"})
    max_aspect: float = field(default=_DEFAULT.max_aspect, metadata={"help": "longer images are not used"})
    max_pixels: int = field(default=_DEFAULT.max_pixels, metadata={"help": "larger images are not decoded"})
    skip_leading_garbage: bool = field(default=False, metadata={"help": "use images that follow foreign bytes"})


def plan(job: runner.Job[Options]) -> Any:
    """Decode in as many tasks as the settings say."""
    raw = job.read("raw_images", ["day", "key", "reason", "image"])
    job.report("decoder", DECODER_VERSION)
    decode = partial(decode_batches, limits=Limits(**vars(job.options)))
    return raw.repartition(job.settings.partitions).mapInArrow(decode, job.schema)


if __name__ == "__main__":
    runner.run("preprocess_images", plan, Options)
