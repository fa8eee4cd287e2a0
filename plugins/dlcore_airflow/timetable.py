"""The timetable of a DAG that the scheduler leaves alone: its daily partitions exist for backfills and nothing runs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction


class OnRequestTimetable(CronDataIntervalTimetable):
    """The data intervals of a cron expression, never started by the scheduler.

    The scheduler asks for the next run with the DAG's own `catchup`, False here, and gets none; a backfill asks with catchup
    on, and gets its days.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The run after the given interval for a backfill, None for the scheduler."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
