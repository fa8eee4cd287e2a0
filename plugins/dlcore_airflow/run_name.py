"""The name under which a job publishes, from the DAG run it belongs to."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from spark_jobs.pipeline import STAGES

DAGS = {stage.dag for stage in STAGES.values()}


def run_of(dag_run: Any) -> str:
    """The name under which a job publishes. A DAG run that was made anew or cleared gets another, so that its day is
    computed again.

    Airflow gives the same id to a run that a backfill makes after the earlier one was deleted, or after its database
    was lost; the second at which a run started tells them apart. An automatic retry keeps that second and the number of
    clearings, and so the name: it does not repeat what is published already. Airflow names runs by their time, the same
    in every DAG; a DAG that borrows stages of another puts its own name before.
    """
    started, clearings = getattr(dag_run, "start_date", None), getattr(dag_run, "clear_number", None) or 0
    name = str(dag_run.run_id) if dag_run.dag_id in DAGS else f"{dag_run.dag_id}__{dag_run.run_id}"
    marks = [f"{started.astimezone(UTC):%Y%m%dT%H%M%S}"] if started else []
    return ".".join([name, *marks, *([str(clearings)] if clearings else [])])
