"""Find the run reports of a DAG run in Airflow."""

from __future__ import annotations

from contextlib import suppress

from airflow.sdk.exceptions import AirflowFailException

from dlcore_airflow.day_note import OF_A_DAY
from dlcore_airflow.run_name import run_of
from dlcore_airflow.schedule import partition_day


def of_dag_run(dag: str, run: str) -> dict[str, str | int] | None:
    """The parameters of the overview that show a DAG run's reports; None if Airflow has no such run."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalar(select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run))
        if found is None:
            return None
        asked: dict[str, str | int] = {"run": run_of(found)}
        if dag in OF_A_DAY:
            with suppress(AirflowFailException):
                asked |= {"until": partition_day({"params": found.conf or {}, "dag_run": found}), "days": 1}
        return asked
