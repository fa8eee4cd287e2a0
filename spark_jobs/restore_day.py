"""Undo the last publish of a day: every dataset that the run replaced gets its earlier rows back, and other days keep
theirs.

    python -m spark_jobs.restore_day --day 2026-11-02 --remote "$PIPELINE_CONNECT_URL"

This is no rollback of tables: the day's rows of the snapshot before are staged, audited against their contract and
published like those of any run. What other days have published since stays, and the same command again takes the
undoing back. A day that no run has published, or only one, is refused at once by the run reports. If the command fails
halfway, it says what is done and which command with `--run` continues. Search index and duplicates follow with the next
run of the DAG `similar_images`.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Annotated, Any

import typer

from spark_jobs.mistakes import MOST_NAMED, Mistake, day_of, leave
from spark_jobs.pipeline import EXIT_OK, IMAGE_PIPELINE, UNDOING, Stage, stages_of
from spark_jobs.run_reports.reading import newest_published_by_day, published_of_day
from spark_jobs.running import publishing, runner, sessions
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.publishing import Change
from spark_jobs.settings import Settings

CHAIN = {stage.writes: stage for stage in stages_of(IMAGE_PIPELINE) if stage.writes}
_READING = stages_of(IMAGE_PIPELINE)[0].name
_UNDOING_RUN = "restore__"


def undone(changes: Mapping[str, Change], run: str | None, allow_empty: bool = False) -> dict[str, Change]:
    """The changes of one run to undo: by default of the run that published last.

    changes: the last change of a day, by dataset.   run: the run to undo; what an earlier undoing of it has already
    done is left out.
    allow_empty: a day that was emptied counts as done by that undoing; earlier versions emptied days without a run's
        name.

    Raises:
        LookupError: there are none, another run has published the day since, or no run is given and the last one is an
            undoing that stopped halfway.
    """
    if not changes:
        raise LookupError("got a day that was never published, or its snapshots have expired; expected one to undo")
    last = ", ".join(f"{dataset} by {change.run}" for dataset, change in changes.items())
    chosen = run or max(changes.values(), key=lambda change: change.at).run
    found = {dataset: change for dataset, change in changes.items() if change.run == chosen}
    if run is None:
        half = next((change.run for change in changes.values() if change.run and is_undoing(chosen, change.run)), None)
        if half:
            raise LookupError(
                f"run {half!r} is undone in some of the datasets ({last}); "
                f"expected --run {half} to continue, or --run {chosen} to take it back"
            )
        return found
    if not found:
        raise LookupError(f"run {run!r} was not the last to publish the day; expected one of: {last}")
    first = min(change.at for change in found.values())
    others = [
        change
        for dataset, change in changes.items()
        if dataset not in found and not is_undoing(change.run, run) and not (allow_empty and change.run is None)
    ]
    if any(change.at > first for change in others):
        raise LookupError(
            f"another run has published the day since run {run!r}: {last}; expected --dataset, or that run undone first"
        )
    return found


def undoing_id(run: str | None, at: datetime) -> str:
    """The id of the run that undoes another. Its end names the other run, so that it can continue after a failure.

    >>> is_undoing(undoing_id("mine", datetime(2026, 11, 2)), "mine")
    True
    """
    return f"{_UNDOING_RUN}{at:%Y-%m-%dT%H:%M:%S}__{_mark(run)}"


def is_undoing(later: str | None, run: str) -> bool:
    """Whether a run is one that undoes another."""
    return later is not None and later.startswith(_UNDOING_RUN) and later.endswith(f"__{_mark(run)}")


def _mark(run: str | None) -> str:
    """A hash, so that the ids of undoings of undoings do not grow."""
    return sha256((run or "").encode()).hexdigest()[:12]


def check_reports(settings: Settings, day: str, allow_empty: bool) -> None:
    """Refuse within a second, by the run reports, a day that has nothing to go back to; the tables take a session.

    Raises:
        Mistake: no run has published the day, with days that runs have; or only one, so that there were no rows before.
    """
    runs = {str(report.get("run")) for report in published_of_day(settings.reports, day)}
    other = "`--run` names a run whose report is lost"
    if not runs:
        days = list(newest_published_by_day(settings.reports, _READING, settings.codes, MOST_NAMED))
        named = f"expected one that was, such as {', '.join(days)}" if days else "no day has been published yet"
        raise Mistake(f"got day {day}, which no run has published; {named}; {other}")
    if len(runs) == 1 and not allow_empty:
        raise Mistake(
            f"day {day} has been published once, by run {runs.pop()}, so it had no rows before; "
            f"pass allow_empty to empty the day; {other}"
        )


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
    """Publish the rows that a stage's dataset had at a snapshot, as an attempt of that stage; return its exit code."""

    def had_no_rows() -> None:
        raise Mistake(f"{stage.writes} had no rows of the day before that run; pass allow_empty to empty the day")

    def rows_before(job: runner.Job[NoOptions]) -> Any:
        job.when_empty.append(had_no_rows)
        table = job.settings.table(stage.writes or "")
        rows = publishing.read_snapshot(job.spark, table, before) if before else job.spark.table(table).where("false")
        return rows.where(f"day = DATE '{job.day}'").select(*[field.name for field in job.schema])

    return runner.execute(stage.name, rows_before, NoOptions, arguments, settings)


def ways_on(run: str | None, left: Sequence[str], options: Sequence[str], dataset: str) -> list[str]:
    """The commands that continue the undoing of a run; if the run has no name, one for each dataset that is left.

    options: those of the command that failed, besides `--run` and `--dataset`.
    """
    named = [["--run", run, *(("--dataset", dataset) if dataset else ())]] if run else []
    choices = named or [["--dataset", name] for name in left]
    return [f"python -m spark_jobs.restore_day {shlex.join([*options, *choice])}" for choice in choices]


def main(
    day: Annotated[str, typer.Option(help="the day, as YYYY-MM-DD")],
    remote: Annotated[str, typer.Option(help="sc://host:port of a Spark Connect server; empty: spark-submit")] = "",
    run: Annotated[str, typer.Option(help="the run to undo; by default the one that published the day last")] = "",
    dataset: Annotated[str, typer.Option(help="restore only this dataset; by default all that the run replaced")] = "",
    allow_empty: Annotated[bool, typer.Option(help="empty the day if it had no rows before")] = False,
) -> None:
    """Undo the last publish of a day."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    datasets = (dataset,) if dataset else tuple(CHAIN)
    try:
        if dataset and dataset not in CHAIN:
            raise ValueError(f"got dataset {dataset!r}, expected one of {', '.join(CHAIN)}")
        at = day_of(day, "--day")
        if not run:
            check_reports(settings, day, allow_empty)
        last = last_changes(settings, at, datasets, remote or None)
        changes = undone(last, run or None, allow_empty)
    except (LookupError, ValueError) as error:
        leave("restore_day", error)
    except ConnectionError as error:
        raise SystemExit(f"restore_day: {error}") from None
    undone_run = next(iter(changes.values())).run
    options = ["--day", day, *(("--remote", remote) if remote else ()), *(("--allow-empty",) if allow_empty else ())]
    arguments = ["--run", undoing_id(undone_run, datetime.now(UTC)), "--dag", UNDOING, "--release", *options]
    left = [name for name in datasets if name in changes]
    try:
        while left:
            code = restore(CHAIN[left[0]], changes[left[0]].before, arguments, settings)
            if code != EXIT_OK:
                raise SystemExit(code)
            left.pop(0)
    finally:
        if left:
            done = ", ".join(name for name in changes if name not in left) or "nothing"
            typer.echo(f"restore_day: restored {done}, but not {', '.join(left)}; to continue:", err=True)
            typer.echo("\n".join(ways_on(undone_run, left, options, dataset)), err=True)
    typer.echo(
        f"day {day}: {', '.join(changes)} are as before run {undone_run}; now run: airflow dags trigger similar_images"
    )


if __name__ == "__main__":
    typer.run(main)
