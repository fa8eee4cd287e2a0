"""What past runs have left out: days that were never run, and pictures that came after their day's run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from spark_jobs.pipeline import IMAGE_PIPELINE, NOTHING_YET, PUBLISHED, stages_of
from spark_jobs.run_reports.reading import newest_published, newest_published_by_day
from spark_jobs.settings import Settings

FIRST, *_, LAST = (stage.name for stage in stages_of(IMAGE_PIPELINE))
READ_OR_SKIPPED = (*PUBLISHED, NOTHING_YET)
"""The status of a run report whose day was read, or had no images when it was looked at."""


def missing_days(settings: Settings) -> list[date]:
    """Days without published codes between the first and the newest day with codes, in the set of codes in use.

    A day that was published as empty is not missing, nor one that the schedule skipped because it had no images.
    """
    published = {date.fromisoformat(day) for day in newest_published_by_day(settings.reports, LAST, settings.codes)}
    if not published:
        return []
    read = newest_published_by_day(settings.reports, FIRST, settings.codes, statuses=READ_OR_SKIPPED)
    skipped = {date.fromisoformat(day) for day, report in read.items() if report["status"] == NOTHING_YET}
    return [day for day in days_between(published) if day not in skipped]


def days_between(days: Iterable[date]) -> list[date]:
    """The days that are not among `days`, from the first of them to the last.

    >>> days_between([date(2026, 11, 1), date(2026, 11, 4)])
    [datetime.date(2026, 11, 2), datetime.date(2026, 11, 3)]
    """
    known = set(days)
    first, last = min(known), max(known)
    every = (first + timedelta(days=number) for number in range((last - first).days))
    return [day for day in every if day not in known]


def late_images(settings: Settings, most_days: int, count: Callable[[Settings, date], int]) -> dict[date, int]:
    """Day -> how many more images HBase has than were read, among the newest `most_days` read or skipped days.

    Before any day is published there are none: the runs were skipped, perhaps since no loader has made the table yet.
    count: how many rows the image table has for a day (`spark_jobs.hbase.source.count_rows`).
    """
    if newest_published(settings.reports, FIRST, settings.codes) is None:
        return {}
    read = newest_published_by_day(settings.reports, FIRST, settings.codes, most_days, READ_OR_SKIPPED)
    more = {
        date.fromisoformat(day): count(settings, date.fromisoformat(day)) - (report["rows_out"] or 0)
        for day, report in read.items()
    }
    return {day: images for day, images in sorted(more.items()) if images > 0}
