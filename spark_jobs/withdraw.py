"""Take pictures down: from the next run of `similar_images` they are in no group and no index, and searches leave them
out within a minute.

    python -m spark_jobs.withdraw sku-17/0 sku-17/1 --reason "asked by the owner" --remote "$PIPELINE_CONNECT_URL"
    python -m spark_jobs.withdraw sku-17/0 --undo

Every decision is a row of the dataset `withdrawn`; the last one on a key holds. Without a key, the command only writes
the list beside the index anew.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import pyarrow as pa
import typer

from data_contracts.reasons import Reason
from data_contracts.withdrawn import WITHDRAWN
from dlcore.search.index import open_index
from spark_jobs.pipeline import EXIT_OK, STAGES, TAKE_DOWN
from spark_jobs.running import runner, sessions
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.runner import Job
from spark_jobs.settings import Settings
from spark_jobs.stages.withdrawn_keys import STATE, write_keys

STAGE = "withdraw"


@dataclass(frozen=True)
class Decision:
    """A decision on some keys: whether they are withdrawn or used again, why, and when."""

    keys: tuple[str, ...]
    reason: Reason
    why: str
    at: datetime


def plan(job: Job[NoOptions], decision: Decision) -> Any:
    """The earlier decisions and the new ones."""
    about = {
        "day": decision.at.date(),
        "reason": str(decision.reason),
        "why": decision.why,
        "at": decision.at,
        "run": job.run,
    }
    rows = pa.Table.from_pylist(
        [about | {"key": key} for key in dict.fromkeys(decision.keys)], WITHDRAWN.arrow_schema()
    )
    new = job.spark.createDataFrame(rows)
    return job.published().select(*new.columns).unionByName(new)


def keys_now(settings: Settings, remote: str | None) -> list[str]:
    """The keys that are withdrawn now, in order."""
    with sessions.opened(STAGES[STAGE], settings, remote, is_last=True) as spark:
        table = settings.table("withdrawn")
        return (
            sorted(row["key"] for row in spark.sql(STATE.format(rows=table)).collect())
            if spark.catalog.tableExists(table)
            else []
        )


def write_list(settings: Settings, remote: str | None) -> tuple[list[str], list[str]]:
    """Write the keys that are withdrawn now beside the index of every set of codes -> the keys, the URIs of the
    indexes.

    The command reads them again after writing, so that of two commands at once the slower leaves no older list.
    """
    written, places = None, []
    while (now := keys_now(settings, remote)) != written:
        written, places = now, write_keys(settings.of_first_codes().index, now)
    return now, places


def not_indexed(index: str, keys: Iterable[str]) -> list[str]:
    """The keys among these that the newest index at a URI does not have; none if the index cannot be read."""
    try:
        opened = open_index(index)
        return [key for key in keys if not len(opened.find(key))]
    except (FileNotFoundError, ValueError):
        return []


def main(
    keys: Annotated[list[str] | None, typer.Argument(help="keys of the pictures, of any day")] = None,
    reason: Annotated[str, typer.Option(help="the reason, for the audit")] = "not said",
    undo: Annotated[bool, typer.Option(help="use the pictures again")] = False,
    remote: Annotated[str, typer.Option(help="sc://host:port of a Spark Connect server; empty: spark-submit")] = "",
) -> None:
    """Take pictures down, or use them again."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    if keys:
        decision = Decision(tuple(keys), Reason.OK if undo else Reason.WITHDRAWN, reason, datetime.now(UTC))
        arguments = ["--run", f"{STAGE}__{uuid4()}", "--dag", TAKE_DOWN, *(("--remote", remote) if remote else ())]
        code = runner.execute(STAGE, partial(plan, decision=decision), NoOptions, arguments, settings)
        if code != EXIT_OK:
            raise SystemExit(code)
    now, places = write_list(settings, remote or None)
    typer.echo(
        f"{len(now)} {'key is' if len(now) == 1 else 'keys are'} withdrawn now, in {', '.join(places)}; for the groups "
        "and the index run: airflow dags trigger similar_images"
    )
    if keys and not undo and (missing := not_indexed(settings.index, keys)):
        typer.echo(f"{len(missing)} of the {len(keys)} keys are not in the index; check their spelling: {missing[0]}")


if __name__ == "__main__":
    typer.run(main)
