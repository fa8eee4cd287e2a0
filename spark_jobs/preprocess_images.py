"""Check and decode each image, make it canonical: the job `preprocess_images`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spark_jobs.running import runner
from spark_jobs.stages.decode import DECODER_VERSION, decode_batches
from spark_jobs.stages.limits import Limits
from spark_jobs.stages.placeholders import read_placeholders

_DEFAULT = Limits()


@dataclass(frozen=True)
class Options:
    """The limits that a catalogue can set."""

    max_side: int = field(
        default=_DEFAULT.max_side, metadata={"help": "longest side of the canonical image, in pixels"}
    )
    min_side: int = field(default=_DEFAULT.min_side, metadata={"help": "shortest side of a usable image, in pixels"})
    max_aspect: float = field(
        default=_DEFAULT.max_aspect, metadata={"help": "largest ratio of the sides of a usable image"}
    )
    max_pixels: int = field(default=_DEFAULT.max_pixels, metadata={"help": "most pixels of an image that is decoded"})
    timeout_s: float = field(
        default=_DEFAULT.timeout_s, metadata={"help": "limit of CPU seconds for one image; 0: no limit"}
    )
    skip_leading_garbage: bool = field(default=False, metadata={"help": "use images that begin after foreign bytes"})
    placeholders: str = field(
        default="",
        metadata={
            "help": "URI of a list of placeholder pictures, one SHA-256 per line; by default the `placeholders` setting"
        },
    )


def plan(job: runner.Job[Options]) -> Any:
    """Decode the images in as many tasks as the settings say."""
    raw = job.read("raw_images", ["day", "key", "reason", "image"])
    placeholders = read_placeholders(job.options.placeholders or job.settings.placeholders)
    job.note("decoder", DECODER_VERSION)
    job.note("placeholders", len(placeholders))
    limits = Limits(**vars(job.options) | {"placeholders": placeholders})
    decode = partial(decode_batches, limits=limits)
    return raw.repartition(job.settings.partitions).mapInArrow(decode, job.schema)


if __name__ == "__main__":
    runner.run("preprocess_images", plan, Options)
