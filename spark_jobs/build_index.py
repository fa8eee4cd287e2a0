"""Writes the search index of all codes: features, duplicates and crops of every day -> index files."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlcore.search.index import publish
from spark_jobs import runner
from spark_jobs.runner import Job
from spark_jobs.stages.duplicates import one_version
from spark_jobs.stages.index import THUMBNAILS, index_entries, thumbnail_batches


@dataclass(frozen=True)
class Options:
    """What the index holds beside codes and keys."""

    thumbnails: bool = field(default=True, metadata={"help": "keep a small JPEG of each crop for contact sheets"})


def plan(job: Job[Options]) -> None:
    """Thumbnails on the workers, files from this process."""
    features = job.read("features", ("day", "key", "crop", "label", "code", "model_version")).toArrow()
    duplicates = job.read("duplicates", ("day", "key", "crop", "group", "size")).toArrow()
    thumbnails = THUMBNAILS.empty_table()
    if job.options.thumbnails:
        crops = job.read("crops", ("day", "key", "crop", "reason", "image")).repartition(job.settings.partitions)
        schema = "day date, key string, crop int, thumbnail binary"
        thumbnails = crops.mapInArrow(thumbnail_batches, schema).toArrow()
    model = one_version(features.column("model_version").to_pylist())
    entries = index_entries(features, duplicates, thumbnails)
    job.report("version", publish(job.settings.index, entries, model))
    job.report("codes", len(entries.codes))


if __name__ == "__main__":
    runner.run("build_index", plan, Options)
