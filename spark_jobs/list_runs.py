"""Show what runs now, how far it is, and the runs of the newest days: the page *Image pipeline* in a terminal.

python -m spark_jobs.list_runs --days 7
watch -n 5 python -m spark_jobs.list_runs
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from spark_jobs.mistakes import Mistake, leave
from spark_jobs.pipeline import ALL_DAYS, is_day
from spark_jobs.run_reports.reading import attempts_under_way, reports_of_days
from spark_jobs.run_reports.summary import RunSummary, in_words, name_of, runs_of, silence_of, state_of
from spark_jobs.settings import Settings

HEADING = f"{'day':<12}{'result':<24}{'images':>9}{'used':>9}{'refused':>9}{'seconds':>9}  {'began (UTC)':<18}run"


def main(
    days: Annotated[int, typer.Option(min=1, max=366, help="number of days to list")] = 7,
    until: Annotated[str, typer.Option(help="last day, as YYYY-MM-DD; by default the newest")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
) -> None:
    """Print what runs now, and what became of the runs of the newest days."""
    if until and not is_day(until):
        leave("list_runs", Mistake(f"got --until {until!r}, expected a day like 2026-11-02"))
    reports, now = Settings.from_environment().reports, datetime.now(UTC)
    attempts = attempts_under_way(reports, now)
    runs = [RunSummary.of(run) for run in runs_of(reports_of_days(reports, days, until))]
    if as_json:
        print(json.dumps({"now": attempts, "runs": [asdict(run) for run in runs]}))
        return
    # The run's name comes last and no line is broken: it is copied from here.
    for attempt in attempts:
        said = "; ".join(filter(None, (state_of(attempt, now), silence_of(attempt))))
        typer.echo(
            f"now  {attempt.get('day') or 'all days'}  {attempt.get('stage')}: {said}  "
            f"{name_of(str(attempt.get('run')))}"
        )
    typer.echo("\n".join((HEADING, *map(_line, runs))) if runs else "none of these days has a finished run yet")


def _line(run: RunSummary) -> str:
    counts = "".join(f"{'' if count is None else f'{count:,}':>9}" for count in (run.images, run.used, run.refused))
    day, began = "all days" if run.day == ALL_DAYS else run.day, run.started_at[:16].replace("T", " ")
    return f"{day:<12}{in_words(run):<24}{counts}{run.seconds:>9,.0f}  {began:<18}{name_of(run.run)}"


if __name__ == "__main__":
    typer.run(main)
