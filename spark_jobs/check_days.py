"""Finds days that were never run and pictures that came after their day's run: the job `check_days`.

Airflow does not run days that passed while it was stopped, and a day's run reads only what HBase has at that time. The
numbers go into the run report, and from there into the metrics; `python -m spark_jobs.catch_up` runs such days.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spark_jobs.hbase.source import count_rows
from spark_jobs.run_reports.gaps import late_images, missing_days
from spark_jobs.running import runner
from spark_jobs.running.runner import Job


@dataclass(frozen=True)
class Options:
    """How far back pictures are counted."""

    late_days: int = field(
        default=7,
        metadata={"min": 1, "max": 400, "help": "number of newest days, also skipped, whose pictures are counted"},
    )


def plan(job: Job[Options]) -> None:
    """Compare the run reports with the calendar and with HBase's keys."""
    missing = [day.isoformat() for day in missing_days(job.settings)]
    late = {
        day.isoformat(): images for day, images in late_images(job.settings, job.options.late_days, count_rows).items()
    }
    if missing:
        job.warn(f"{len(missing)} days have no codes, the first is {missing[0]}; run: python -m spark_jobs.catch_up")
    if late:
        job.warn(f"pictures came after the run of {', '.join(late)}; run: python -m spark_jobs.catch_up --late")
    job.note("missing_days", missing)
    job.note("late_images", late)


if __name__ == "__main__":
    runner.run("check_days", plan, Options)
