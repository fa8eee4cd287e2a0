"""The timetables of the daily DAGs: scheduled runs are named by the day that they process, and some DAGs the scheduler
never starts."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
    from airflow.utils.types import DagRunType
    from pendulum import DateTime


class DailyTimetable(CronDataIntervalTimetable):
    """The data intervals of a cron expression; runs of complete days are named by their day: `scheduled__2026-11-02`.

    Airflow names runs by the moment from which they may start, which is the day after. A timetable can give the name of
    a scheduled run, but not that of a backfill's. A day that is over may start at any time, though, so for backfills it
    gives the moment at which the day began: `backfill__2026-11-02T00:00:00+00:00`.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The run after the given interval; a backfill's run may start from the beginning of its day."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if info is None or not restriction.catchup or not _is_day(info.data_interval):
            return info
        is_over = info.data_interval.end <= datetime.now(UTC)
        return info._replace(run_after=info.data_interval.start) if is_over else info

    def generate_run_id(
        self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **extra: Any
    ) -> str:
        """The name of a run: by its day if it is scheduled and its interval is a day."""
        if run_type == "scheduled" and data_interval is not None and _is_day(data_interval):
            return f"{run_type.value}__{data_interval.start.date()}"
        return str(
            super().generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval, **extra)
        )


class OnRequestTimetable(DailyTimetable):
    """The same data intervals, never started by the scheduler: they exist for backfills.

    The scheduler asks for the next run with the DAG's own `catchup`, False here, and gets none; a backfill asks with
    catchup on, and gets its days.
    """

    @property
    def summary(self) -> str:
        """The text that pages show in place of a schedule."""
        return "by backfill or by hand"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The run after the given interval for a backfill, None for the scheduler."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )


def _is_day(interval: DataInterval) -> bool:
    return bool(interval.start.time() == time.min and interval.end - interval.start == timedelta(days=1))
