"""Write, audit, publish on Iceberg: rows are staged under an id of their own and become readable by a cherry-pick.

Iceberg keeps the snapshot of a session that has `spark.wap.id` set aside: it is in the table's metadata, readable by its
id, but no reader of the table sees it until `cherrypick_snapshot` makes it current. Ids are `<run>/<try>/<uuid>`: one id
can be published once only, and the run is found again by its prefix.
Source: the Iceberg documentation, "Write-audit-publish" and `cherrypick_snapshot` of the Spark procedures.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from data_contracts.contract import Contract

log = logging.getLogger(__name__)

WAP_ID = "spark.wap.id"
_PROPERTIES = {
    "write.wap.enabled": "true",
    # With rows of one day in a stage nothing is gained by shuffling or sorting them by day before they are written.
    "write.distribution-mode": "none",
    "write.spark.fanout.enabled": "true",
    # A row group of images is what one task reads: small ones let the cores share a day.
    "write.parquet.row-group-size-bytes": str(8 * 1024 * 1024),
    # Makes the summary of a snapshot name the partitions it changed.
    "write.summary.partition-limit": "1000",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
}
_CHANGED = ("Cannot cherry-pick", "CommitFailedException", "Cannot commit")
_DUPLICATE = (
    "DuplicateWAPCommit",
    "CherrypickAncestorCommit",
    "Duplicate request to cherry pick wap id",
    "already picked",
)


_PARTITION = "partitions."


class ChangedPartition(Exception):
    """The table changed between staging and publishing: the rows must be staged again on the new state."""


@dataclass(frozen=True)
class Staged:
    """Rows that are written, but not readable: a snapshot beside the table's history."""

    snapshot: int
    rows: int
    size_bytes: int


def wap_id(run: str, attempt: int) -> str:
    """A new id for one staging: `<run>/<try>/<uuid>`."""
    return f"{run}/{attempt}/{uuid4()}"


def ensure_table(spark: Any, table: str, contract: Contract) -> None:
    """Create the table when it is missing, with the contract's columns, by day when the dataset is.

    Raises ValueError when the table is there but would publish without an audit, or lacks columns of the contract.
    """
    if not spark.catalog.tableExists(table):
        _create(spark, table, contract)
    properties = {row["key"]: row["value"] for row in spark.sql(f"SHOW TBLPROPERTIES {table}").collect()}
    if properties.get("write.wap.enabled") != "true":
        raise ValueError(
            f"{table}: got write.wap.enabled={properties.get('write.wap.enabled')}, expected true, else rows would be "
            f"readable before their audit; run: ALTER TABLE {table} SET TBLPROPERTIES ('write.wap.enabled'='true')"
        )
    missing = [column.name for column in contract.columns if column.name not in spark.table(table).columns]
    if missing:
        raise ValueError(f"{table}: lacks {missing} of contract version {contract.version}; add them with ALTER TABLE")


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
    """The snapshot that readers of the table see now; None when nothing has been published."""
    rows = spark.sql(f"SELECT snapshot_id FROM {table}.refs WHERE name = 'main'").collect()
    return rows[0][0] if rows else None


def read_snapshot(spark: Any, table: str, snapshot: int) -> Any:
    """The table as of one snapshot, published or staged, as a DataFrame."""
    return spark.read.option("versionAsOf", snapshot).table(table)


def published_by(spark: Any, table: str, run: str, day: date | None) -> int | None:
    """The snapshot of the day (None: of all days) that an earlier attempt of the run has published; None without one.

    A cherry-pick onto the staged snapshot's own parent makes the staged snapshot itself current (it carries `wap.id`);
    any other makes a new one (it carries `published-wap-id`).
    """
    identity = "coalesce(summary['wap.id'], summary['published-wap-id'])"
    of_day = f" AND map_contains_key(summary, '{_partition(day)}')" if day is not None else ""
    ours = f"SELECT snapshot_id FROM {table}.snapshots WHERE startswith({identity}, {_literal(run + '/')}){of_day}"
    found = {row["snapshot_id"] for row in spark.sql(ours).collect()}
    if not found:
        return None
    history = f"SELECT snapshot_id FROM {table}.history WHERE is_current_ancestor ORDER BY made_current_at DESC"
    current = [row["snapshot_id"] for row in spark.sql(history).collect()]
    return next((snapshot for snapshot in current if snapshot in found), None)


@dataclass(frozen=True)
class Change:
    """A commit that replaced the rows of a day. before: the snapshot before it, None for a table's first; run: who published it."""

    before: int | None
    run: str | None
    at: datetime


def last_change(spark: Any, table: str, day: date) -> Change | None:
    """The newest commit that changed the rows of a day, compactions apart; None when the day was never published.

    Raises LookupError when the snapshot before it has expired.
    """
    identity = "coalesce(summary['wap.id'], summary['published-wap-id'])"
    of_day = f"map_contains_key(summary, '{_partition(day)}') AND operation <> 'replace' AND is_current_ancestor"
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


@contextmanager
def staging(spark: Any, run: str, identity: str) -> Iterator[None]:
    """Inside the block, what the session writes is staged under `identity`.

    An id left behind by a killed attempt of the same run is replaced.
    Raises RuntimeError when the session has another run's id set: two writers would mix their rows.
    """
    found = spark.conf.get(WAP_ID, "")
    if found and not found.startswith(f"{run}/"):
        raise RuntimeError(f"got a session that stages for {found!r}, expected one of its own for run {run!r}")
    spark.conf.set(WAP_ID, identity)
    try:
        yield
    finally:
        spark.conf.unset(WAP_ID)


def stage_rows(frame: Any, table: str, identity: str, day: date | None) -> Staged | None:
    """Write the rows of a DataFrame to a new staged snapshot; None when there are no rows.

    day: the only day the rows may be of; None for a table that is overwritten whole.
    Raises ValueError when there are rows of another day, RuntimeError when another process stages under the id.
    """
    spark = frame.sparkSession
    frame.writeTo(table).overwritePartitions()
    rows = spark.sql(
        f"SELECT snapshot_id, summary FROM {table}.snapshots WHERE summary['wap.id'] = {_literal(identity)}"
    )
    found = rows.collect()
    if not found:
        return None
    if len(found) > 1:
        raise RuntimeError(
            f"{table}: {len(found)} snapshots are staged as {identity}: another attempt still writes; try again"
        )
    snapshot, summary = found[0]["snapshot_id"], dict(found[0]["summary"])
    _refuse_other_days(table, summary, day)
    return Staged(snapshot, int(summary.get("added-records", 0)), int(summary.get("added-files-size", 0)))


def _refuse_other_days(table: str, summary: dict[str, str], day: date | None) -> None:
    if day is None:
        return
    partitions = {name for name in summary if name.startswith(_PARTITION)}
    others = sorted(name.removeprefix(_PARTITION) for name in partitions - {_partition(day)})
    if others:
        raise ValueError(
            f"{table}: got rows of {', '.join(others[:3])}, expected rows of day={day} alone; nothing was published"
        )


def _partition(day: date) -> str:
    """The key under which a snapshot's summary describes the partition of a day."""
    return f"{_PARTITION}day={day.isoformat()}"


def publish(spark: Any, table: str, snapshot: int) -> int:
    """Make a staged snapshot's rows readable; return the snapshot that is current then.

    Raises ChangedPartition when the table changed in between, so that the rows must be staged again.
    """
    catalog = table.partition(".")[0]
    try:
        rows = spark.sql(f"CALL {catalog}.system.cherrypick_snapshot({_literal(table)}, {snapshot})").collect()
    except Exception as error:
        message = str(error)
        if any(sign in message for sign in _CHANGED) and not any(sign in message for sign in _DUPLICATE):
            raise ChangedPartition(
                f"{table}: snapshot {snapshot} no longer fits ({message.splitlines()[0]})"
            ) from error
        raise
    return int(rows[0]["current_snapshot_id"])


def empty_day(spark: Any, table: str, day: date | None) -> None:
    """Delete a day's rows (all rows without a day) at once: there is nothing to audit, and nothing to stage."""
    if spark.conf.get(WAP_ID, ""):
        raise RuntimeError(f"{table}: cannot empty a day while the session stages under {spark.conf.get(WAP_ID)!r}")
    condition = f"WHERE day = DATE '{day}'" if day else "WHERE true"
    if current_snapshot(spark, table) is not None:
        spark.sql(f"DELETE FROM {table} {condition}")


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
