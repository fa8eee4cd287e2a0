"""Writes the search index of all codes: features, duplicates and crops of every day -> a version of index files.

Tasks write the segments of the days that have changed, and all groups; this process sees how many rows a day has, and
names of parts. Days whose features have not changed keep their segments; many small segments are merged into few.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dlcore.search.manifest import check_reached, publish_manifest, versions
from dlcore.search.part import Part, part_of
from dlcore.search.reuse import joinable, reusable
from dlcore.search.segment import SEGMENT_ITEMS
from dlcore.search.store import Store
from spark_jobs.pictured_rows import withdrawn_now
from spark_jobs.running import runner
from spark_jobs.running.lineage import MixedInputs
from spark_jobs.running.runner import Job
from spark_jobs.stages.duplicates import one_version
from spark_jobs.stages.index import ROW, group_parts, list_parts, merged_parts, segment_parts, thumbnail_batches
from spark_jobs.stages.listings import SOURCE, filter_names, listings

_PLACE = ("day", "key", "crop")
_FINGERPRINT = (*_PLACE, "label", "code", "luminance_hash", "whole_hash", "chroma", "model_version")


@dataclass(frozen=True)
class Options:
    """What the index holds beside codes and keys."""

    thumbnails: bool = field(default=True, metadata={"help": "keep a small JPEG of each crop, for contact sheets"})
    afresh: bool = field(default=False, metadata={"help": "write the segments of all days, including unchanged ones"})


def plan(job: Job[Options]) -> None:
    """Segments and groups by the workers, the manifest from this process."""
    store = Store(job.settings.index)
    before = versions(store)[-1:]
    days, told = _days(job), _told_states(job)
    model = one_version([version for day in days.values() for version in day.models])
    code_bytes = max((day.code_bytes for day in days.values()), default=1)
    states = {
        name: f"{day.state} {'with' if job.options.thumbnails else 'without'} thumbnails{told.get(name, '')}"
        for name, day in days.items()
    }
    kept = [] if job.options.afresh else reusable(store, model, states)
    changed = sorted(set(states) - {day for part in kept for day in part.days})
    rows = sum(days[name].rows for name in changed)
    written = _segments(job, changed, rows, states) if changed else []
    segments, groups, lists = _compacted(job, kept + written, code_bytes), _groups(job), _lists(job)
    check_reached(store, [*segments, *groups, *lists])
    if before != versions(store)[-1:]:
        raise MixedInputs(
            f"{store.uri}: another run has published version {versions(store)[-1]} since this one began; nothing was "
            f"published, try again"
        )
    job.note("version", publish_manifest(store, model, code_bytes, segments, groups, job.options.afresh, lists))
    job.note("codes", sum(part.count for part in segments))
    job.note("days_written", len(changed))
    job.note("segments", len(segments))


@dataclass(frozen=True)
class Day:
    """A day's used rows, known without reading them here: their number, their models and a hash of their content."""

    rows: int
    models: tuple[str, ...]
    code_bytes: int
    state: str


def _days(job: Job[Options]) -> dict[str, Day]:
    features = _items(job, _FINGERPRINT)
    hashed = f"hex(bit_xor(xxhash64({', '.join(_FINGERPRINT)})))"
    counted = features.groupBy("day").agg(
        _sql("count(*)", "rows"), _sql("collect_set(model_version)", "models"), _sql("max(length(code))", "size"),
        _sql(hashed, "state"),
    )  # fmt: skip
    return {
        str(row["day"]): Day(row["rows"], tuple(row["models"]), row["size"], f"{row['rows']} rows {row['state']}")
        for row in counted.collect()
    }


def _told(job: Job[Options]) -> Any:
    """What searches can filter by, for all pictures: day, key and the columns of the setting."""
    names = filter_names(job.settings.index_filters)
    rows = listings(job.read("raw_images", SOURCE), job.settings.metadata_columns, names)
    return rows.select("day", "key", *names)


def _told_states(job: Job[Options]) -> dict[str, str]:
    """Day -> what the filters of its segments are made from."""
    rows = _told(job)
    names = rows.columns[2:]
    if not names:
        return {}
    hashed = _sql(f"hex(bit_xor(xxhash64({', '.join(rows.columns[1:])})))", "state")
    return {str(row["day"]): f" {','.join(names)} {row['state']}" for row in rows.groupBy("day").agg(hashed).collect()}


def _items(job: Job[Options], columns: Sequence[str]) -> Any:
    """The rows that are searched: those with a code that have not been withdrawn."""
    return job.read("features", columns).where("code IS NOT NULL").join(withdrawn_now(job), "key", "left_anti")


def _segments(job: Job[Options], changed: Iterable[str], rows: int, states: dict[str, str]) -> list[Part]:
    """Write the segments of the changed days."""
    of_days = " OR ".join(f"day = DATE '{day}'" for day in changed)
    items = _items(job, (*_PLACE, "label", "code")).where(of_days)
    pictures = _thumbnails(job, of_days, rows)
    items = (
        items.join(pictures, list(_PLACE), "left")
        if pictures is not None
        else items.selectExpr("*", "CAST(NULL AS binary) thumbnail")
    )
    tasks = max(job.settings.partitions if rows > _FEW else 1, rows // SEGMENT_ITEMS + 1)
    told = _told(job).where(of_days)
    ordered = items.join(told, ["day", "key"], "left").repartitionByRange(tasks, *_PLACE).sortWithinPartitions(*_PLACE)
    write = partial(segment_parts, uri=job.settings.index, states=states)
    return _parts(ordered.select(*ROW, *told.columns[2:]).mapInArrow(write, "part string"))


def _thumbnails(job: Job[Options], of_days: str, rows: int) -> Any:
    if not job.options.thumbnails:
        return None
    tasks = max(job.settings.partitions, rows // _DRAWN + 1)
    crops = job.read("crops", (*_PLACE, "reason", "image")).where(of_days).repartition(tasks)
    return crops.mapInArrow(thumbnail_batches, "day date, key string, crop int, thumbnail binary")


def _groups(job: Job[Options]) -> list[Part]:
    """Write which items are in groups of two and more. All are written anew, since a new day changes groups of earlier
    days."""
    rows = job.read("duplicates", (*_PLACE, "group", "size")).where("size > 1")
    rows = rows.selectExpr("concat(CAST(day AS string), '/', key, '#', CAST(crop AS string)) place", "`group`")
    tasks = rows.count() // SEGMENT_ITEMS + 1
    ordered = rows.repartitionByRange(tasks, "place").sortWithinPartitions("place")
    return _parts(ordered.mapInArrow(partial(group_parts, uri=job.settings.index), "part string"))


def _lists(job: Job[Options]) -> list[Part]:
    """Write the same groups by name, each with its members and its pairs."""
    place = "concat(CAST(day AS string), '/', key, '#', CAST(crop AS string)) place"
    rows = job.read("duplicates", (*_PLACE, "group", "size", "evidence")).where("size > 1")
    shops = listings(job.read("raw_images", SOURCE), job.settings.metadata_columns).select("day", "key", "shop")
    rows = rows.join(shops, ["day", "key"], "left").selectExpr("`group`", "day", place, "shop", "evidence")
    tasks = rows.count() // SEGMENT_ITEMS + 1
    ordered = rows.repartitionByRange(tasks, "group").sortWithinPartitions("group", "place")
    return _parts(ordered.mapInArrow(partial(list_parts, uri=job.settings.index), "part string"))


def _compacted(job: Job[Options], segments: list[Part], code_bytes: int) -> list[Part]:
    """The segments; where many are small, the workers merge neighbours."""
    lists = joinable(segments)
    if not lists:
        return segments
    texts = [(json.dumps([part.to_json() for part in parts]),) for parts in lists]
    rows = job.spark.createDataFrame(texts, "part string").repartition(len(texts))
    merge = partial(merged_parts, uri=job.settings.index, code_bytes=code_bytes)
    old = {part.name for parts in lists for part in parts}
    return [part for part in segments if part.name not in old] + _parts(rows.mapInArrow(merge, "part string"))


_FEW = 10_000
"""Items that one task writes."""
_DRAWN = 20_000
"""Thumbnails that a task draws, from a gigabyte of crops: the first index of a large catalogue draws them all."""


def _parts(frame: Any) -> list[Part]:
    return [part_of(json.loads(row["part"])) for row in frame.collect()]


def _sql(expression: str, name: str) -> Any:
    from pyspark.sql import functions as F

    return F.expr(expression).alias(name)


if __name__ == "__main__":
    runner.run("build_index", plan, Options)
