"""Lineage: which rows of its inputs a day's rows were made from, so that datasets of two runs are never read as one.

Two runs of a day may publish in turns: images of one and detections of the other have the same keys, and every rule
holds. Therefore the summary of each published snapshot names the commit that had last changed the day in each input. A
stage that reads two datasets checks that one was made from the other as it is now, and no stage publishes what was made
from rows that have been replaced since. A dataset over all days names the snapshots it was made from; a stage that also
reads one of those inputs reads that snapshot of it. Rows from before lineage was kept, or whose snapshot has expired,
say nothing and are taken as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from spark_jobs.running.publishing import INPUT, TOLD, current_snapshot, partition_of

_STAGED_AS = "source-snapshot-id"
"""The key under which the summary of a replayed commit names the snapshot it was staged as."""


class MixedInputs(Exception):
    """Another run has replaced an input's rows: what was or would be made from them does not belong to the present
    ones."""


@dataclass(frozen=True)
class State:
    """A day's rows in a table, or all rows. changed_by: the snapshot that put them there. inputs: dataset -> the
    snapshot they were made from. told: what else their stage said about them."""

    changed_by: int
    inputs: Mapping[str, int]
    told: Mapping[str, str] = field(default_factory=dict)


def state_of(spark: Any, table: str, snapshot: int, day: date | None) -> State | None:
    """A day's rows (None: all rows) as of a snapshot; None if the commit that put them there has expired, or there are
    none.

    Compactions do not count: they rewrite files, not rows. A replayed commit has its inputs in the snapshot it was
    staged as.
    """
    of_day = f"map_contains_key(summary, '{partition_of(day)}')" if day else "true"
    is_change = f"operation <> 'replace' AND {of_day} AS is_change"
    # The whole summaries of a backfill's snapshots would be megabytes.
    told = (
        f"map_filter(summary, (name, _) -> name = '{_STAGED_AS}' OR startswith(name, '{INPUT}') OR startswith(name, "
        f"'{TOLD}')) AS told"
    )
    rows = spark.sql(f"SELECT snapshot_id, parent_id, {told}, {is_change} FROM {table}.snapshots").collect()
    known = {row["snapshot_id"]: row for row in rows}
    place: int | None = snapshot
    while place in known and not known[place]["is_change"]:
        place = known[place]["parent_id"]
    if place is None or place not in known:
        return None
    staged = known.get(int(known[place]["told"].get(_STAGED_AS, place)), known[place])
    inputs, said = (
        {name.removeprefix(start): value for name, value in staged["told"].items() if name.startswith(start)}
        for start in (INPUT, TOLD)
    )
    return State(place, {name: int(value) for name, value in inputs.items()}, said)


def as_made(spark: Any, tables: Mapping[str, str], inputs: Mapping[str, int], whole: Collection[str]) -> dict[str, int]:
    """The snapshots to read, by dataset. For an input of a dataset over all days, that is the snapshot this was made
    from, if it still exists.

    tables: by dataset.   inputs: the newest snapshots.   whole: the datasets over all days.
    """
    found = dict(inputs)
    for dataset in whole:
        state = state_of(spark, tables[dataset], inputs[dataset], None)
        for source, made_from in (state.inputs if state else {}).items():
            if source in inputs and state_of(spark, tables[source], made_from, None):
                found[source] = made_from
    return found


def check_together(states: Mapping[str, State | None], day: date | None) -> None:
    """Check that an input which was made from another input was made from the very rows that are read.

    states: of the inputs of a stage, by dataset.

    Raises:
        MixedInputs: one was made from other rows.
    """
    for dataset, state in states.items():
        for source, made_from in (state.inputs if state else {}).items():
            read = states.get(source)
            if read is not None and read.changed_by != made_from:
                raise MixedInputs(
                    f"{dataset} of day {day} were made from {source} of snapshot {made_from}, got {source} of snapshot "
                    f"{read.changed_by}, which another run has published; run the stage that writes {dataset} again "
                    f"first"
                )


def check_alone(spark: Any, table: str, found: State | None) -> None:
    """Check that a table over all days still has the rows that the attempt found there when it began.

    found: those rows. A compaction meanwhile does not count.

    Raises:
        MixedInputs: another run has replaced them, perhaps with rows made from newer inputs than this one's.
    """
    now = current_snapshot(spark, table)
    state = state_of(spark, table, now, None) if now is not None else None
    if state != found:
        raise MixedInputs(
            f"{table}: another run has published snapshot {state.changed_by if state else 'none'} since this one "
            f"began; nothing was "
            "published, try again"
        )


def check_current(spark: Any, table: str, pinned: int, state: State | None, day: date | None) -> None:
    """Check that the rows that were read are still those of the day.

    pinned: the snapshot that was read. state: that of the day in this snapshot.

    Raises:
        MixedInputs: another run has replaced them.
    """
    now = current_snapshot(spark, table)
    if state is None or day is None or now is None or now == pinned:
        return
    new = state_of(spark, table, now, day)
    if new is not None and new.changed_by != state.changed_by:
        raise MixedInputs(
            f"{table}: day {day} was read as of snapshot {state.changed_by}, another run has replaced it by snapshot "
            f"{new.changed_by}; nothing was published, try again"
        )
