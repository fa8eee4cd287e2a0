"""Which run goes first if there is not room for all: the daily one before those of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

from spark_jobs.pipeline import CATCH_UP

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

OF_THE_PAST = ("backfill__", CATCH_UP)
"""Prefixes of the names of runs that are not urgent."""
PAST, OTHERS = 1, 100


class DailyRunFirst(PriorityWeightStrategy):
    """Tasks of a backfill or of `spark_jobs.catch_up` weigh 1, all others 100: a free slot goes to the daily run and to
    runs by hand.

    Airflow's own order is by weight, then oldest day first, so that a backfill of the past would always come before
    today. A scheduled run that a backfill repeats keeps its name, and so the weight of a daily run.
    """

    def __repr__(self) -> str:
        """A text that is the same in every process: Airflow compares it to find out whether a DAG has changed."""
        return "DailyRunFirst()"

    def get_weight(self, ti: TaskInstance) -> int:
        """The weight of one task of one run, by the run's name."""
        return PAST if str(ti.run_id).startswith(OF_THE_PAST) else OTHERS
