"""Write the day of each run into the run's note, with links to what became of it: names of runs by hand only tell when
they were requested.

Airflow calls this module in its scheduler when a run begins.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.exceptions import AirflowFailException

from dlcore_airflow.links import day_links
from dlcore_airflow.schedule import partition_day
from spark_jobs.pipeline import FEATURE_EXTRACTION, IMAGE_PIPELINE, UNDOING

OF_A_DAY = (IMAGE_PIPELINE, FEATURE_EXTRACTION, UNDOING)
"""The DAGs whose runs are for one day."""


@hookimpl  # type: ignore[untyped-decorator]
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Add the day to the run's note, once: a run that is cleared begins again."""
    if dag_run.dag_id not in OF_A_DAY:
        return
    try:
        day = partition_day({"params": dag_run.conf or {}, "dag_run": dag_run})
    except AirflowFailException:  # the first task says what is wrong with it
        return
    line = f"Day **{day}**: " + " · ".join(f"[{name}]({address})" for name, address in day_links(day).items())
    if line not in (dag_run.note or ""):
        dag_run.note = f"{dag_run.note}\n\n{line}" if dag_run.note else line
