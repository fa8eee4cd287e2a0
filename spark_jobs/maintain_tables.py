"""Keeps the lake small: expires snapshots, compacts quiet days, and removes orphaned files, old versions of the index,
and what killed publications and comparisons have left beside it.

Snapshots younger than `keep_days` stay: runs of these days read them pinned, or have yet to publish them. A day that
changed within `quiet_hours` is not compacted, since a run of it may be under way (it would only have to stage again).
Tables without days are rewritten whenever they need it; a run under way then computes its rows anew. With `--codes
NAME` only that set's own tables and index are maintained, not those it shares with others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dlcore.search.manifest import remove_old
from spark_jobs.pipeline import STAGES
from spark_jobs.running import branches, runner
from spark_jobs.running.runner import Job
from spark_jobs.settings import OF_CODES
from spark_jobs.stages.picture_days import remove_left_behind

LEAST_KEEP_DAYS = 2
LEAST_FILES = 2
MANY_LISTS, MANY_FILES = 8, 16


@dataclass(frozen=True)
class Options:
    """What is kept."""

    keep_days: int = field(
        default=7, metadata={"min": 2, "help": "days to keep snapshots and orphaned files, at least 2"}
    )
    quiet_hours: int = field(
        default=24,
        metadata={
            "min": 0,
            "help": "a day that changed within this many hours is not compacted; other tables always are",
        },
    )
    keep_index_versions: int = field(
        default=3, metadata={"min": 1, "help": "number of newest versions of the search index to keep"}
    )


def plan(job: Job[Options]) -> None:
    """Maintain every table, or those of the named set of codes, and then its index."""
    if job.options.keep_days < LEAST_KEEP_DAYS:
        raise ValueError(
            f"got keep_days {job.options.keep_days}, expected at least {LEAST_KEEP_DAYS}: runs read old snapshots"
        )
    datasets = OF_CODES if job.attempt.codes else [stage.writes for stage in STAGES.values() if stage.writes]
    tables = {dataset: job.settings.table(dataset) for dataset in datasets}
    there = {dataset: table for dataset, table in tables.items() if job.spark.catalog.tableExists(table)}
    job.note("tables", {dataset: maintain(job.spark, table, job.options) for dataset, table in there.items()})
    job.note("comparisons_removed", remove_left_behind(job.settings.index))
    job.note("index_versions_removed", remove_old(job.settings.index, job.options.keep_index_versions))


def maintain(spark: Any, table: str, options: Options) -> dict[str, int]:
    """Compact, expire and clean one table; return how many files, or branches of failed attempts, each step removed."""
    now = datetime.now(UTC)
    kept_since = now - timedelta(days=options.keep_days)
    old = f"TIMESTAMP '{kept_since:%Y-%m-%d %H:%M:%S}'"
    procedures = f"{table.partition('.')[0]}.system"
    compacted = _compact(spark, table, procedures, now - timedelta(hours=options.quiet_hours))
    dropped = branches.drop_old(spark, table, kept_since.date())
    expired = spark.sql(
        f"CALL {procedures}.expire_snapshots(table => '{table}', older_than => {old}, retain_last => 1)"
    ).collect()[0]
    orphans = spark.sql(f"CALL {procedures}.remove_orphan_files(table => '{table}', older_than => {old})").count()
    return {
        "files_compacted": compacted,
        "branches_dropped": dropped,
        "files_expired": expired["deleted_data_files_count"],
        "orphans": orphans,
    }


def _compact(spark: Any, table: str, procedures: str, quiet_since: datetime) -> int:
    """Rewrite the days that have several files and have not changed lately; return the number of files replaced."""
    partitions = spark.table(f"{table}.partitions")
    if "partition" not in partitions.columns:
        return _compact_whole(spark, table, procedures)
    quiet = partitions.where(
        f"file_count >= {LEAST_FILES} AND last_updated_at < TIMESTAMP '{quiet_since:%Y-%m-%d %H:%M:%S}'"
    )
    days = [row["day"] for row in quiet.select("partition.day").collect()]
    if not days:
        return 0
    where = " OR ".join(f'day = DATE "{day}"' for day in days)
    least = f"options => map('min-input-files', '{LEAST_FILES}')"
    call = f"CALL {procedures}.rewrite_data_files(table => '{table}', where => '{where}', {least})"
    return int(spark.sql(call).collect()[0]["rewritten_data_files_count"])


def _compact_whole(spark: Any, table: str, procedures: str) -> int:
    """Rewrite the files of a table without partitions: those with many lists of deleted rows, and small ones if there
    are many.

    When the table last changed does not matter: a run that builds upon it computes its rows anew.
    """
    options = f"map('delete-file-threshold', '{MANY_LISTS}', 'min-input-files', '{MANY_FILES}')"
    call = f"CALL {procedures}.rewrite_data_files(table => '{table}', options => {options})"
    return int(spark.sql(call).collect()[0]["rewritten_data_files_count"])


if __name__ == "__main__":
    runner.run("maintain_tables", plan, Options)
