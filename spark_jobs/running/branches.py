"""Branches of a table, which exist while rows are staged or published; many runs make them at once."""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

logger = logging.getLogger(__name__)

STAGING = "staging"
CONTENDED = ("CommitFailedException", "Cannot commit")
"""What Iceberg says about a commit that collided with another."""
_WAITS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
"""Seconds to wait before each repetition of a change of branches that collided with a commit."""


def new() -> str:
    """The name of a new branch, with the day on which it is made."""
    return f"{STAGING}_{datetime.now(UTC):%Y%m%d}_{uuid4().hex}"


def alter(spark: Any, statement: str) -> None:
    """Run a statement that changes a table's branches, and repeat it while others commit: Iceberg repeats commits of
    rows by itself, but not these."""
    for wait_s in (*_WAITS_S, None):
        try:
            spark.sql(statement).collect()
        except Exception as error:
            if wait_s is None or CONTENDED[0] not in str(error):
                raise
            time.sleep(random.uniform(0.5, 1.0) * wait_s)
        else:
            return


def drop(spark: Any, table: str, branch: str) -> None:
    """Drop a branch, if possible; housekeeping removes what is left, also by failed attempts."""
    try:
        alter(spark, f"ALTER TABLE {table} DROP BRANCH {branch}")
    except Exception:
        logger.warning("%s: could not drop branch %s", table, branch, exc_info=True)


def drop_old(spark: Any, table: str, before: date) -> int:
    """Drop the branches that failed attempts of earlier days have left; return how many."""
    names = [row["name"] for row in spark.sql(f"SELECT name FROM {table}.refs").collect()]
    old = [name for name in names if name.startswith(f"{STAGING}_") and name < f"{STAGING}_{before:%Y%m%d}"]
    for name in old:
        drop(spark, table, name)
    return len(old)
