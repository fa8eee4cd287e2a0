"""Run the days that were missed, and no others; with --late also those whose pictures came after their run.

    python -m spark_jobs.catch_up --dry-run
    python -m spark_jobs.catch_up --late --late-days 14

Each day becomes one run of the DAG `image_pipeline`, started by the command `airflow`. A day for which this command has
already requested a run today is left out.
"""

from __future__ import annotations

import json
import subprocess
from datetime import date
from typing import Annotated

import typer

from spark_jobs.hbase.scan import HBaseError
from spark_jobs.hbase.source import count_rows
from spark_jobs.pipeline import CATCH_UP, IMAGE_PIPELINE
from spark_jobs.run_reports.gaps import late_images, missing_days
from spark_jobs.settings import Settings

_ALREADY = "already exists"


def main(
    late: Annotated[
        bool, typer.Option("--late", help="also run days for which HBase has more images than were read")
    ] = False,
    late_days: Annotated[int, typer.Option(min=1, help="number of newest days, also skipped, that --late counts")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the days, but run nothing")] = False,
) -> None:
    """Ask Airflow to run each day that was missed."""
    settings = Settings.from_environment()
    reasons = dict.fromkeys(missing_days(settings), "no codes")
    try:
        more = late_images(settings, late_days, count_rows) if late else {}
    except HBaseError as error:
        raise SystemExit(f"{error}; leave --late out to run the missing days alone") from None
    reasons |= {day: f"{images:,} images came later" for day, images in more.items()}
    for day, reason in sorted(reasons.items()):
        typer.echo(f"{day}  {reason}{'' if dry_run else f': {_run(day)}'}")
    if not reasons:
        typer.echo("no day is missing" + (f", none of the newest {late_days} has new images" if late else ""))


def _run(day: date) -> str:
    """Trigger the day's run; return what became of it.

    Raises:
        SystemExit: Airflow refuses.
    """
    run = f"{CATCH_UP}{day}__asked_{date.today()}"
    command = ["airflow", "dags", "trigger", IMAGE_PIPELINE, "--run-id", run, "--conf", json.dumps({"day": str(day)})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and _ALREADY in done.stdout + done.stderr:
        return f"already requested today, as run {run}"
    if done.returncode:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise SystemExit(f"airflow refused the run of {day}: {last}")
    return f"run {run}"


if __name__ == "__main__":
    typer.run(main)
