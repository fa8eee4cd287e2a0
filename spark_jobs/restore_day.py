"""Undo the last publish of a day: every dataset that its run replaced gets the rows from before, and other days keep theirs.

    python -m spark_jobs.restore_day --day 2026-11-02 --remote "$PIPELINE_CONNECT_URL"

Not a rollback of tables: the day's rows of the snapshot before are staged, audited against their contract and published like
those of any run, so that what other days have published since stays, and the same command again takes the undoing back.
Search index and duplicates follow with the next run of the DAG `similar_images`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from spark_jobs import publishing, runner, sessions
from spark_jobs.command_line import NoOptions
from spark_jobs.pipeline import EXIT_OK, Stage, stages_of
from spark_jobs.publishing import Change
from spark_jobs.settings import Settings

CHAIN = {stage.writes: stage for stage in stages_of("image_pipeline") if stage.writes}


def undone(changes: Mapping[str, Change], run: str | None) -> dict[str, Change]:
    """The changes of one run: by default of the one that published last.

    changes: the last change of a day by dataset.
    Raises LookupError when the run published none of them.
    """
    if not changes:
        raise LookupError("got a day that was never published, expected one to undo")
    chosen = run or max(changes.values(), key=lambda change: change.at).run
    found = {dataset: change for dataset, change in changes.items() if change.run == chosen}
    if not found:
        last = ", ".join(f"{dataset} by {change.run}" for dataset, change in changes.items())
        raise LookupError(f"run {run!r} was not the last to publish the day; expected one of: {last}")
    return found


def last_changes(settings: Settings, day: date, datasets: tuple[str, ...], remote: str | None) -> dict[str, Change]:
    """The last change of a day in each dataset that has one."""
    changes = {}
    with sessions.opened(CHAIN[datasets[0]], settings, remote, is_last=True) as spark:
        for dataset in datasets:
            table = settings.table(dataset)
            change = publishing.last_change(spark, table, day) if spark.catalog.tableExists(table) else None
            if change:
                changes[dataset] = change
    return changes


def restore(stage: Stage, before: int | None, arguments: list[str], settings: Settings) -> int:
    """Publish the rows that a stage's dataset had at a snapshot, as an attempt of that stage; its exit code."""

    def rows_before(job: runner.Job[NoOptions]) -> Any:
        table = job.settings.table(stage.writes or "")
        rows = job.spark.table(table).where("false")
        return publishing.read_snapshot(job.spark, table, before).where(f"day = DATE '{job.day}'") if before else rows

    return runner.execute(stage.name, rows_before, NoOptions, arguments, settings)


def main(
    day: Annotated[str, typer.Option(help="the day, as YYYY-MM-DD")],
    remote: Annotated[str, typer.Option(help="sc://host:port of a Spark Connect server; none under spark-submit")] = "",
    run: Annotated[str, typer.Option(help="the run to undo; by default the one that published the day last")] = "",
    dataset: Annotated[str, typer.Option(help="only this dataset; by default all that the run replaced")] = "",
    allow_empty: Annotated[bool, typer.Option(help="empty the day when it had no rows before")] = False,
) -> None:
    """Undo the last publish of a day."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    datasets = (dataset,) if dataset else tuple(CHAIN)
    try:
        if dataset and dataset not in CHAIN:
            raise ValueError(f"got dataset {dataset!r}, expected one of {', '.join(CHAIN)}")
        changes = undone(last_changes(settings, date.fromisoformat(day), datasets, remote or None), run or None)
    except (LookupError, ValueError, ConnectionError) as error:
        raise SystemExit(f"restore_day: {error}") from None
    run_id = f"restore__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    arguments = ["--run", run_id, "--day", day, "--dag", "restore_day", "--release"]
    arguments += [*(("--remote", remote) if remote else ()), *(("--allow-empty",) if allow_empty else ())]
    for name in datasets:
        code = restore(CHAIN[name], changes[name].before, arguments, settings) if name in changes else EXIT_OK
        if code != EXIT_OK:
            raise SystemExit(code)
    undone_run = next(iter(changes.values())).run
    typer.echo(
        f"day {day}: {', '.join(changes)} as before run {undone_run}; now run: airflow dags trigger similar_images"
    )


if __name__ == "__main__":
    typer.run(main)
