"""Estimate what a backfill will cost: images, hours, core-hours, bytes.

    python -m spark_jobs.estimate_backfill --from 2024-01-01 --to 2026-10-31

The images are counted in HBase by their keys; `--no-count` takes the mean of past days instead. All other figures come
from the run reports of past days, and hold for the same cluster. The stages' time is divided into a part that grows
with the images (computing and writing them) and a part that every day costs (sessions, audits).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Annotated

import typer

from spark_jobs.hbase.contents import count_between
from spark_jobs.hbase.scan import HBaseError
from spark_jobs.mistakes import Mistake, day_of, leave
from spark_jobs.pipeline import IMAGE_PIPELINE, stages_of
from spark_jobs.run_reports.durations import busy_seconds, total_seconds
from spark_jobs.run_reports.reading import PastRun, newest_reports
from spark_jobs.settings import Settings

FIRST, *_, LAST = (stage.name for stage in stages_of(IMAGE_PIPELINE))


@dataclass(frozen=True)
class Past:
    """What complete past days took, all of them together.

    days, images: how many.   day_seconds: of the cluster, for which the days' number counts.   image_seconds: those for
    which the images' number counts.   read_bytes: from HBase.   written_bytes: to the lake, by dataset.
    """

    days: frozenset[str]
    images: int
    day_seconds: float
    image_seconds: float
    read_bytes: int
    written_bytes: dict[str, int]

    @classmethod
    def of(cls, reports: Sequence[PastRun]) -> Past:
        """Add up the reports of the days that have one of every stage.

        Raises:
            ValueError: there is no such day, or it had no images.
        """
        names = [stage.name for stage in stages_of(IMAGE_PIPELINE)]
        fresh = [report for report in reports if report["status"] == "published"]  # others did not compute their rows
        by_stage = {name: {report["day"]: report for report in fresh if report["stage"] == name} for name in names}
        days = frozenset.intersection(*(frozenset(of_stage) for of_stage in by_stage.values()))
        used = [by_stage[name][day] for name in names for day in sorted(days)]
        images = sum(by_stage[FIRST][day]["rows_out"] or 0 for day in days)
        if not images:
            raise ValueError(
                f"got no past day with images and a run report of every stage, expected at least one; run a day first: "
                f'airflow dags trigger {IMAGE_PIPELINE} --conf \'{{"day": "..."}}\' '
                f"(or set PIPELINE_REPORTS to where its reports are)"
            )
        busy = busy_seconds(used)
        share = sum(report["seconds"].get("stage", 0.0) for report in used) / sum(map(total_seconds, used))
        sizes = {report["dataset"]: 0 for report in used}
        for report in used:
            sizes[report["dataset"]] += report["size_bytes"] or 0
        read = sum(by_stage[FIRST][day]["extra"].get("hbase", {}).get("size_bytes") or 0 for day in days)
        return cls(days, images, busy * (1 - share), busy * share, read, sizes)


@dataclass(frozen=True)
class Estimate:
    """A backfill's cost. read_bytes: from HBase; written_bytes: to the lake, by dataset."""

    days: int
    images: int
    hours: float
    read_bytes: int
    written_bytes: dict[str, int]


def estimate(past: Past, days: int, images: int) -> Estimate:
    """The cost of so many days with so many images in all, at the rates of the past."""
    seconds = past.day_seconds * days / len(past.days) + past.image_seconds * images / past.images
    written = {dataset: size * images // past.images for dataset, size in past.written_bytes.items()}
    return Estimate(days, images, seconds / 3600, past.read_bytes * images // past.images, written)


def days_between(first: date, last: date) -> list[date]:
    """Every day from first to last, both included.

    Raises:
        ValueError: last is before first.
    """
    if last < first:
        raise ValueError(f"got --to {last} before --from {first}, expected the same day or a later one")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _past_days(past: Past) -> str:
    return "1 past day" if len(past.days) == 1 else f"{len(past.days):,} past days"


def cost_sheet(past: Past, found: Estimate, source: str, done: int, cores: int) -> str:
    """The estimate for people.

    source: where the number of images is from.
    done: how many of the days have been published already.
    cores: that the past runs had.
    """
    written = sum(found.written_bytes.values())
    sizes = ", ".join(f"{dataset} {_size(size)}" for dataset, size in found.written_bytes.items())
    rate = past.images / (past.day_seconds + past.image_seconds)
    return "\n".join(
        (
            f"days         {found.days:,}, {done:,} of them published already",
            f"images       {found.images:,} ({source})",
            f"hours        {found.hours:,.2f} on the cluster of the past runs, as busy as it was then",
            f"core-hours   {found.hours * cores:,.2f} at {cores} cores",
            f"from HBase   {_size(found.read_bytes)}",
            f"to the lake  {_size(written)}: {sizes}",
            f"measured on  {_past_days(past)}, {past.images:,} images, {rate:,.2f} images/s from HBase to codes",
        )
    )


def _size(size_bytes: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:,.0f} {unit}" if unit == "B" else f"{size_bytes:,.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.1f} TB"


def main(
    first: Annotated[str, typer.Option("--from", help="first day, as YYYY-MM-DD")],
    last: Annotated[str, typer.Option("--to", help="last day, as YYYY-MM-DD")],
    count: Annotated[bool, typer.Option(help="count the images in HBase, or use the mean of the past days")] = True,
    cores: Annotated[int, typer.Option(help="cores that the past runs had; 0: as many as this machine has")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the estimate as JSON, for programs")] = False,
) -> None:
    """Print what a backfill of the days will cost, from the run reports of past days."""
    try:
        settings = Settings.from_environment()
        days = days_between(day_of(first, "--from"), day_of(last, "--to"))
        reports = newest_reports(settings)
        past = Past.of(reports)
        images = count_between(settings, days[0], days[-1]) if count else past.images * len(days) // len(past.days)
        if not images:
            raise Mistake(f"{settings.hbase_table} has no image from {first} to {last}; check the days and the table")
    except ValueError as error:
        leave("estimate_backfill", error)
    except HBaseError as error:
        raise SystemExit(f"{error}; or take the mean of past days with --no-count") from None
    if as_json:
        print(json.dumps(asdict(estimate(past, len(days), images))))
        return
    source = f"counted in {settings.hbase_table}" if count else f"mean of {_past_days(past)}, not counted"
    published = {report["day"] for report in reports if report["stage"] == LAST}
    done = sum(day.isoformat() in published for day in days)
    typer.echo(cost_sheet(past, estimate(past, len(days), images), source, done, cores or os.cpu_count() or 1))


if __name__ == "__main__":
    typer.run(main)
