"""Draws the day sheets, the pages "a day in pictures": some pictures of each day and what became of them, in files
beside the index.

A sheet is bounded whatever the size of the day. It shows random pictures, those with the lowest scores, those in which
nothing was found, the most blurred, new members of groups, and refused ones of each reason. Tasks draw and write; days
that have not changed keep their sheets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from data_contracts.contract import list_of
from data_contracts.reasons import Reason
from spark_jobs.running import runner
from spark_jobs.running.runner import Job
from spark_jobs.stages.day_sheet import (
    GLIMPSED,
    days_of,
    drawn_batches,
    read_sheet,
    remove_sheets,
    sheet_batches,
    store_of,
)

_PLACE = ("day", "key")
_UNDER_WAY_S = 24 * 3600.0
_GLIMPSED = f"reason IN {list_of(GLIMPSED)} AND length(raw) <= {4 << 20}"
"""The refused files that are opened: a batch of larger ones would fill a worker's memory."""
CHOICES = {
    "sample": ("reason = 'ok'", "day", "xxhash64(key)"),
    "score": ("reason = 'ok' AND score IS NOT NULL", "day", "score, key"),
    "missed": ("reason = 'ok' AND score IS NULL", "day", "xxhash64(key)"),
    "blur": ("reason = 'ok'", "day", "blur, key"),
    "members": ("is_member", "day", "key"),
    "refused": ("reason <> 'ok'", "day, reason", "xxhash64(key)"),
}
"""Why a picture is on its day's sheet: which pictures qualify, what the limit applies to, and which come first."""


@dataclass(frozen=True)
class Options:
    """How much a sheet shows."""

    most: int = field(
        default=240,
        metadata={"min": 1, "max": 2000, "help": "most pictures of a day for each kind and each reason"},
    )
    afresh: bool = field(default=False, metadata={"help": "draw all days, including unchanged ones"})


def plan(job: Job[Options]) -> None:
    """Choose pictures by their columns, draw those, write a sheet for each day."""
    store = store_of(job.settings.index)
    pictures = _pictures(job)
    states = _states(pictures, job.options)
    drawn = {} if job.options.afresh else _drawn(store)
    changed = sorted(day for day, state in states.items() if drawn.get(day) != state)
    written = _draw(job, pictures, changed, states) if changed else []
    job.note("days_drawn", len(changed))
    job.note("pictures", sum(row["pictures"] for row in written))
    job.note("size_bytes", sum(row["size_bytes"] for row in written))
    job.note("files_removed", remove_sheets(store, states, _UNDER_WAY_S))


def _pictures(job: Job[Options]) -> Any:
    """A row for each picture, without its pixels: what the pipeline has measured, found, cut out and decided."""
    images = job.read("images", (*_PLACE, "reason", "source_format", "width", "height", "blur", "entropy", "flags"))
    objects = job.read("detections", (*_PLACE, "objects"))
    crops = job.read(
        "crops", (*_PLACE, "crop", "reason", "x_min", "y_min", "x_max", "y_max", "label", "score", "source")
    )
    crops = crops.selectExpr(
        *_PLACE, "crop", "reason cut", "struct(crop, x_min, y_min, x_max, y_max, label, score, source) one"
    )
    crops = crops.groupBy(*_PLACE).agg(
        _sql("min_by(cut, crop)", "cut"), _sql("array_sort(collect_list(one) FILTER (WHERE cut = 'ok'))", "crops")
    )
    rows = (
        images.join(objects, list(_PLACE), "left")
        .join(crops, list(_PLACE), "left")
        .join(_groups(job), list(_PLACE), "left")
    )
    return rows.selectExpr(
        *_PLACE, "coalesce(if(is_withdrawn, '" + Reason.WITHDRAWN + "', cut), reason) reason", "source_format",
        "width", "height",
        "round(blur, 2) blur", "round(entropy, 3) entropy", "flags", "objects", "crops", "groups",
        "array_max(transform(objects, o -> o.score)) score", "coalesce(is_member, false) is_member",
    )  # fmt: skip


def _groups(job: Job[Options]) -> Any:
    """For each picture: whether it was taken down, its groups of two and more, and whether it joined one, being not the
    first there."""
    first = "`group` NOT IN (concat(day, '/', key), concat(day, '/', key, '#', crop))"
    rows = job.read("duplicates", (*_PLACE, "crop", "reason", "group", "size"))
    return rows.groupBy(*_PLACE).agg(
        _sql(f"max(reason = '{Reason.WITHDRAWN}')", "is_withdrawn"),
        _sql("array_distinct(collect_list(`group`) FILTER (WHERE size > 1))", "groups"),
        _sql(f"max(coalesce(size > 1 AND {first}, false))", "is_member"),
    )


def _states(pictures: Any, options: Options) -> dict[str, str]:
    """Day -> what its sheet is drawn from: a hash of all that its rows say, except for groups, which later days
    change."""
    columns = "key, reason, width, height, blur, entropy, flags, objects, crops"
    counted = pictures.groupBy("day").agg(_sql("count(*)", "rows"), _sql(f"hex(bit_xor(xxhash64({columns})))", "hash"))
    return {str(row["day"]): f"{row['rows']} rows {row['hash']}, {options.most} each" for row in counted.collect()}


def _drawn(store: Any) -> dict[str, str]:
    """Day -> what the existing sheet was drawn from; a damaged sheet is drawn again."""
    states = {}
    for day in days_of(store):
        try:
            states[day] = read_sheet(store, day).state
        except ValueError:
            continue
    return states


def _draw(job: Job[Options], pictures: Any, changed: Iterable[str], states: dict[str, str]) -> list[Any]:
    """Draw and write the sheets of the changed days -> a row for each sheet."""
    of_days = " OR ".join(f"day = DATE '{day}'" for day in changed)
    of_changed = pictures.where(of_days)
    totals: dict[str, dict[str, int]] = {}
    for row in of_changed.groupBy("day", "reason").count().collect():
        totals.setdefault(str(row["day"]), {})[row["reason"]] = row["count"]
    images = job.read("images", (*_PLACE, "image")).where(of_days)
    raw = job.read("raw_images", (*_PLACE, "image")).where(of_days).withColumnRenamed("image", "raw")
    chosen = _chosen(of_changed, job.options.most).localCheckpoint()
    used = chosen.where("reason = 'ok'").join(images, list(_PLACE), "left").selectExpr("*", "CAST(NULL AS binary) raw")
    refused = (
        chosen.where("reason <> 'ok'")
        .join(raw, list(_PLACE), "left")
        .selectExpr("* EXCEPT (raw)", "CAST(NULL AS binary) image", f"IF({_GLIMPSED}, raw, NULL) raw")
    )
    rows = used.unionByName(refused).repartition(job.settings.partitions)
    drawn = rows.mapInArrow(drawn_batches, "day date, key string, about string, picture binary")
    ordered = drawn.repartitionByRange(len(totals), "day").sortWithinPartitions("day", "key")
    write = partial(sheet_batches, index=job.settings.index, states=states, totals=totals)
    return list(ordered.mapInArrow(write, "day date, pictures bigint, size_bytes bigint").collect())


def _chosen(pictures: Any, most: int) -> Any:
    """The pictures that go on the sheets, with what the sheet says about each as JSON."""
    ranks = [
        f"IF({which}, row_number() OVER (PARTITION BY {of}, {which} ORDER BY {order}) <= {most}, false) AS of_{name}"
        for name, (which, of, order) in CHOICES.items()
    ]
    rows = pictures.selectExpr("*", *ranks).where(" OR ".join(f"of_{name}" for name in CHOICES))
    names = ", ".join(f"IF(of_{name}, '{name}', NULL)" for name in CHOICES)
    about = (
        f"to_json(struct(key, reason, array_compact(array({names})) chosen, source_format, width, height, blur, "
        f"entropy, score, flags,"
        " objects, crops, groups, is_member))"
    )
    return rows.selectExpr(*_PLACE, "reason", f"{about} about")


def _sql(expression: str, name: str) -> Any:
    from pyspark.sql import functions as F

    return F.expr(expression).alias(name)


if __name__ == "__main__":
    runner.run("draw_days", plan, Options)
