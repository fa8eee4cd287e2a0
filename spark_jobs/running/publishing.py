"""Write, audit, publish on Iceberg: rows are staged on a branch of their own and become readable by a cherry-pick.

Each attempt writes to a branch of its own, so that no setting of the session decides where rows go; this also holds for
an attempt that wakes up late. The branch is dropped when the rows are written. Their snapshot stays in the table's
metadata, readable by its id, but no reader of the table sees a day's rows until `cherrypick_snapshot` makes them
current. The snapshot's summary has the id `<run>/<try>/<uuid>` as `wap.id`: Iceberg publishes it only once, and its
prefix finds the run again. Rows of all days become current by `fast_forward` instead, which requires the table to be as
it was when they were staged.
Source: the Iceberg documentation, "Branching and tagging", "Write-audit-publish", and the Spark procedures of these
names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from data_contracts.contract import Contract
from spark_jobs.running import branches
from spark_jobs.sql import literal, of_days

WAP_ID = "spark.wap.id"
"""The setting by which sessions staged before there were branches. A session that has it would replace an attempt's own
id."""

INPUT = "input."
"""Prefix of the names under which a snapshot's summary says what its rows were made from: see `lineage`."""
TOLD = "told."
"""Prefix of the names under which it says what else the stage knew about them."""

_SUMMARY = "snapshot-property."
_OF_SESSION = "spark.sql.iceberg.snapshot-property."
_MERGED = "merged_rows"
_START_RUN = "table_created"
_PROPERTIES = {
    # Versions of before the branches stage by this; with it one can go back to them.
    "write.wap.enabled": "true",
    # Days that run side by side commit at once, several times each.
    "commit.retry.num-retries": "10",
    # With rows of one day in a stage nothing is gained by shuffling or sorting them by day before they are written.
    "write.distribution-mode": "none",
    "write.spark.fanout.enabled": "true",
    # A row group of images is what one task reads: small ones let the cores share a day.
    "write.parquet.row-group-size-bytes": str(8 * 1024 * 1024),
    # Few rows of many files change: these stay, beside lists of the rows that are gone.
    "write.merge.mode": "merge-on-read",
    # Makes the summary of a snapshot name the partitions it changed.
    "write.summary.partition-limit": "1000",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
}
_PARTITION = "partitions."
_REPLACES_DAYS = "replace-partitions"
"""The key in Iceberg's summary for rows that replaced all of their partitions."""


class ChangedPartition(Exception):
    """The table changed between staging and publishing: the rows must be staged again on the new state."""


@dataclass(frozen=True)
class Staged:
    """Rows that are written, but not readable: a snapshot beside the table's history."""

    snapshot: int
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Part:
    """The part of a table over all days that a stage's rows replace.

    where: Spark SQL for its rows, which fill whole files. keys: instead of `where`, columns; each row replaces the one
        with the same values, wherever it lies.
    of_output, of_input: which rows of the table, and of its input, are audited.
    """

    where: str = ""
    keys: tuple[str, ...] = ()
    of_output: Callable[[Any], Any] = lambda rows: rows
    of_input: Callable[[Any], Any] = lambda rows: rows

    @classmethod
    def of_days(cls, days: Sequence[str]) -> Part:
        """All rows of some days."""
        where = of_days(days)
        return cls(where, (), lambda rows: rows.where(where), lambda rows: rows.where(where))


def wap_id(run: str, attempt: int) -> str:
    """A new id for one staging: `<run>/<try>/<uuid>`."""
    return f"{run}/{attempt}/{uuid4()}"


def ensure_table(spark: Any, table: str, contract: Contract) -> None:
    """Create the table if it is missing, with the contract's columns, partitioned by day if the dataset is.

    Raises:
        ValueError: the table exists but lacks columns of the contract, and it keeps rows of other days, which would
            lack them too.
    """
    if not spark.catalog.tableExists(table):
        _create(spark, table, contract)
    present = spark.table(table).columns  # asks the server each time
    missing = [column.name for column in contract.columns if column.name not in present]
    if missing and not contract.is_partitioned:
        fields = ", ".join(f"`{name}` {contract.spark_schema()[name].dataType.simpleString()}" for name in missing)
        spark.sql(f"ALTER TABLE {table} ADD COLUMNS ({fields})")
        missing = []
    if missing:
        raise ValueError(f"{table}: lacks {missing} of contract version {contract.version}; add them with ALTER TABLE")
    if current_snapshot(spark, table) is None:
        # A branch begins at a snapshot, and so a table without any gets one without rows.
        start = spark.table(table).where("false").writeTo(table)
        start.option(f"{_SUMMARY}wap.id", wap_id(_START_RUN, 1)).append()


def _create(spark: Any, table: str, contract: Contract) -> None:
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {table.rpartition('.')[0]}")
    columns = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in contract.spark_schema())
    properties = ", ".join(f"'{name}'='{value}'" for name, value in _PROPERTIES.items())
    partitions = "PARTITIONED BY (day)" if contract.is_partitioned else ""
    try:
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS {table} ({columns}) USING iceberg {partitions} TBLPROPERTIES ({properties})"
        )
    except Exception:
        # Two days that start together create the table at once; one of them wins.
        if not spark.catalog.tableExists(table):
            raise


def current_snapshot(spark: Any, table: str) -> int | None:
    """The snapshot that readers of the table see now; None if nothing has been published."""
    rows = spark.sql(f"SELECT snapshot_id FROM {table}.refs WHERE name = 'main'").collect()
    return rows[0][0] if rows else None


def row_count(spark: Any, table: str, snapshot: int) -> int:
    """How many rows a snapshot has, by its summary: those that a merge has since marked as gone count too."""
    total = f"SELECT summary['total-records'] FROM {table}.snapshots WHERE snapshot_id = {snapshot}"
    return int(spark.sql(total).collect()[0][0] or 0)


def has_published(spark: Any, table: str) -> bool:
    """Whether any run has ever published rows to a table that `ensure_table` made, even if none of them is left."""
    first = (
        f"SELECT snapshot_id FROM {table}.snapshots WHERE startswith(summary['wap.id'], {literal(_START_RUN + '/')})"
    )
    current = f"SELECT snapshot_id FROM {table}.refs WHERE name = 'main'"
    return not spark.sql(f"{current} AND snapshot_id IN ({first})").collect()


def read_snapshot(spark: Any, table: str, snapshot: int) -> Any:
    """The table as of one snapshot, published or staged, as a DataFrame with the columns that the table has now.

    Iceberg gives a snapshot the columns of its time. Here a column added since is null, and one whose type was widened
    is cast.
    """
    rows, present = spark.read.option("versionAsOf", snapshot).table(table), spark.table(table).schema
    if rows.schema == present:
        return rows
    there = set(rows.columns)
    return rows.select(*[_as_now(column, column.name in there) for column in present])


def _as_now(column: Any, is_there: bool) -> Any:
    from pyspark.sql import functions as F

    return (F.col(f"`{column.name}`") if is_there else F.lit(None)).cast(column.dataType).alias(column.name)


def published_by(spark: Any, table: str, run: str, day: date | None) -> int | None:
    """The snapshot of the day (None: of all days) that an earlier attempt of the run has published; None if there is
    none.

    A cherry-pick onto the staged snapshot's own parent makes the staged snapshot itself current (it carries `wap.id`);
    any other makes a new one (it carries `published-wap-id`).
    """
    identity = "coalesce(summary['wap.id'], summary['published-wap-id'])"
    of_day = f" AND map_contains_key(summary, '{partition_of(day)}')" if day is not None else ""
    ours = f"SELECT snapshot_id FROM {table}.snapshots WHERE startswith({identity}, {literal(run + '/')}){of_day}"
    found = {row["snapshot_id"] for row in spark.sql(ours).collect()}
    if not found:
        return None
    history = f"SELECT snapshot_id FROM {table}.history WHERE is_current_ancestor ORDER BY made_current_at DESC"
    current = [row["snapshot_id"] for row in spark.sql(history).collect()]
    return next((snapshot for snapshot in current if snapshot in found), None)


@dataclass(frozen=True)
class Change:
    """A commit that replaced the rows of a day. before: the snapshot before it, None for a table's first; run: who
    published it."""

    before: int | None
    run: str | None
    at: datetime


def last_change(spark: Any, table: str, day: date) -> Change | None:
    """The newest commit that changed the rows of a day, apart from compactions; None if the day was never published.

    Raises:
        LookupError: the snapshot before it has expired.
    """
    identity = "coalesce(summary['wap.id'], summary['published-wap-id'])"
    of_day = f"map_contains_key(summary, '{partition_of(day)}') AND operation <> 'replace' AND is_current_ancestor"
    states = f"{table}.history AS h JOIN {table}.snapshots USING (snapshot_id) WHERE {of_day}"
    newest = spark.sql(
        f"SELECT h.parent_id AS before, {identity} AS id, made_current_at AS at FROM {states} ORDER BY at DESC LIMIT 1"
    ).collect()
    if not newest:
        return None
    before, wap, at = newest[0]
    if before is not None and spark.sql(f"SELECT 1 FROM {table}.snapshots WHERE snapshot_id = {before}").isEmpty():
        raise LookupError(
            f"{table}: the state of day {day} before {at} has expired (housekeeping keeps snapshots for some days); "
            "run the day again instead"
        )
    return Change(before, wap and wap.rsplit("/", 2)[0], at)


def stage_rows(
    frame: Any,
    table: str,
    identity: str,
    day: date | None,
    told: Mapping[str, str] | None = None,
    before: int | None = None,
    part: Part | None = None,
) -> Staged | None:
    """Write the rows of a DataFrame to a new staged snapshot; None if there are no rows.

    identity: a new id of `wap_id`.   day: the only day that rows may belong to; None for a table that is overwritten
    whole.
    told: what the snapshot's summary shall say, by names with the prefixes INPUT and TOLD.
    part: what these rows replace in a table over all days; by default everything.
    before: the snapshot of the table itself that they build upon; they are published only while it is the newest. None:
        on any.

    Raises:
        ValueError: there are rows of another day.
        RuntimeError: the session stages for another run, by its settings.
    """
    spark = frame.sparkSession
    _free_of_earlier(spark, identity)
    branch = branches.new()
    branches.alter(spark, f"ALTER TABLE {table} CREATE BRANCH {branch}{f' AS OF VERSION {before}' if before else ''}")
    summary = {"wap.id": identity} | dict(told or {})
    _write(frame, f"{table}.branch_{branch}", summary, day, part)
    head = f"SELECT snapshot_id FROM {table}.refs WHERE name = '{branch}'"
    snapshot, written = spark.sql(
        f"SELECT snapshot_id, summary FROM {table}.snapshots WHERE snapshot_id = ({head})"
    ).collect()[0]
    branches.drop(spark, table, branch)
    if written.get("wap.id") != identity:
        return None
    _refuse_other_days(table, written, day)
    return Staged(snapshot, int(written.get("added-records", 0)), int(written.get("added-files-size", 0)))


def _write(frame: Any, branch: str, summary: Mapping[str, str], day: date | None, part: Part | None) -> None:
    """Write rows to a branch, with what the snapshot's summary shall say."""
    from pyspark.sql import functions as F

    if part and part.keys:
        _merge(frame, branch, summary, part.keys)
        return
    writer = frame.writeTo(branch)
    for name, value in summary.items():
        writer = writer.option(f"{_SUMMARY}{name}", value)
    if day is None:
        writer.overwrite(F.expr(part.where) if part else F.lit(True))
    else:
        writer.overwritePartitions()


def _merge(frame: Any, branch: str, summary: Mapping[str, str], keys: Sequence[str]) -> None:
    """Put each row in place of the one with the same keys, if they differ; add it if there is none.

    The files of other rows stay, with lists of the rows that are gone.
    """
    spark, table = frame.sparkSession, branch.rpartition(".branch_")[0]
    if spark.sql(f"SHOW TBLPROPERTIES {table}").where("key = 'write.merge.mode'").isEmpty():  # made by an older version
        branches.alter(
            spark, f"ALTER TABLE {table} SET TBLPROPERTIES ('write.merge.mode'='{_PROPERTIES['write.merge.mode']}')"
        )
    frame.createOrReplaceTempView(_MERGED)
    same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
    names = [f"`{name}`" for name in frame.columns]
    differs = " OR ".join(f"NOT (old.{name} <=> new.{name})" for name in names)
    settings = {f"{_OF_SESSION}{name}": value for name, value in summary.items()}  # SQL takes no options
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        spark.sql(
            f"MERGE INTO {branch} AS old USING {_MERGED} AS new ON {same} "
            f"WHEN MATCHED AND ({differs}) THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
    finally:
        for name in settings:
            spark.conf.unset(name)


def _free_of_earlier(spark: Any, identity: str) -> None:
    """Unset what a killed attempt of this run has left in the session, its id and words for a summary; refuse the id of
    another run."""
    for name in [name for name in spark.conf.getAll if name.startswith(_OF_SESSION)]:
        spark.conf.unset(name)
    run, found = identity.rsplit("/", 2)[0], spark.conf.get(WAP_ID, "")
    if found and not found.startswith(f"{run}/"):
        raise RuntimeError(f"got a session that stages for {found!r}, expected one of its own for run {run!r}")
    if found:
        spark.conf.unset(WAP_ID)


def _refuse_other_days(table: str, summary: dict[str, str], day: date | None) -> None:
    if day is None:
        return
    partitions = {name for name in summary if name.startswith(_PARTITION)}
    others = sorted(name.removeprefix(_PARTITION) for name in partitions - {partition_of(day)})
    if others:
        raise ValueError(
            f"{table}: got rows of {', '.join(others[:3])}, expected rows of day={day} alone; nothing was published"
        )


def partition_of(day: date) -> str:
    """The key under which a snapshot's summary describes the partition of a day."""
    return f"{_PARTITION}day={day.isoformat()}"


def publish(spark: Any, table: str, snapshot: int) -> int:
    """Make a staged snapshot's rows readable; return the snapshot that is then current.

    A day's rows may be replayed on a table whose other days have changed since. All other rows are published only on
    the state they were staged on: Iceberg treats rows that replace no others as mere additions, and would add them
    twice.

    Raises:
        ChangedPartition: the table has changed in between, and the rows must be staged again.
    """
    catalog = table.partition(".")[0]
    replaces_days = f"snapshot_id = {snapshot} AND summary['{_REPLACES_DAYS}'] = 'true'"
    is_of_day = not spark.sql(f"SELECT 1 FROM {table}.snapshots WHERE {replaces_days}").isEmpty()
    try:
        if not is_of_day:
            return _fast_forward(spark, table, snapshot)
        rows = spark.sql(f"CALL {catalog}.system.cherrypick_snapshot({literal(table)}, {snapshot})").collect()
    except Exception as error:
        first_line = str(error).splitlines()[0]
        has_moved = _parent(spark, table, snapshot) != current_snapshot(spark, table)
        if has_moved or any(sign in str(error) for sign in branches.CONTENDED):
            raise ChangedPartition(f"{table}: snapshot {snapshot} no longer fits ({first_line})") from error
        raise
    return int(rows[0]["current_snapshot_id"])


def _fast_forward(spark: Any, table: str, snapshot: int) -> int:
    """Make a staged snapshot current in one commit; Iceberg refuses if its parent is not current."""
    branch = branches.new()
    branches.alter(spark, f"ALTER TABLE {table} CREATE BRANCH {branch} AS OF VERSION {snapshot}")
    try:
        branches.alter(
            spark, f"CALL {table.partition('.')[0]}.system.fast_forward({literal(table)}, 'main', '{branch}')"
        )
    finally:
        branches.drop(spark, table, branch)
    return snapshot


def _parent(spark: Any, table: str, snapshot: int) -> int | None:
    rows = spark.sql(f"SELECT parent_id FROM {table}.snapshots WHERE snapshot_id = {snapshot}").collect()
    return rows[0][0] if rows else None


def empty_day(spark: Any, table: str, day: date | None, identity: str) -> None:
    """Delete a day's rows (without a day, all rows) at once: there is nothing to audit or stage.

    Raises:
        RuntimeError: the session stages for another run, by its settings.
    """
    from pyspark.sql import functions as F

    _free_of_earlier(spark, identity)
    nothing = spark.table(table).where("false").writeTo(table).option(f"{_SUMMARY}wap.id", identity)
    nothing.overwrite(F.expr(f"day = DATE '{day}'") if day else F.lit(True))
