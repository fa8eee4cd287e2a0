"""Every morning: count the days that have no codes, and the pictures that came after their day's run.

`python -m spark_jobs.catch_up` runs such days.
"""

from __future__ import annotations

from airflow.sdk import DAG
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.documentation import documentation
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import number_param
from dlcore_airflow.schedule import FIRST_DAY, scheduling

from spark_jobs.pipeline import DAY_CHECK, stages_of

with DAG(
    dag_id=DAY_CHECK,
    description="Find days that were missed and pictures that came late",
    doc_md=documentation(__doc__, DAY_CHECK),
    start_date=FIRST_DAY,
    max_active_runs=1,
    params={
        "late_days": number_param(
            7,
            least=1,
            most=400,
            title="Days",
            description="For how many of the newest days the pictures in HBase are counted, by their keys.",
        ),
    },
    default_args=DEFAULT_ARGS[DAY_CHECK],
    tags=["images", "checks"],
    **scheduling("0 8 * * *"),
):
    for stage in stages_of(DAY_CHECK):
        StageOperator(stage=stage.name)
