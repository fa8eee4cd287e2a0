"""Which run goes first when there is not room for all: the daily one before backfills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

BACKFILL, OTHERS = 1, 100


class DailyRunFirst(PriorityWeightStrategy):
    """Tasks of a backfill weigh 1, all others 100: a free slot goes to the daily run and to runs by hand.

    Airflow's own order is by weight, then oldest day first, so that a backfill of the past would always come before today. A
    scheduled run that a backfill repeats keeps its name, and so the weight of a daily run.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """The weight of one task of one run, by the run's name."""
        return BACKFILL if str(ti.run_id).startswith("backfill__") else OTHERS
