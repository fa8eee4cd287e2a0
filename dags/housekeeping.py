"""Every week: expire old snapshots, compact small files, remove orphans and old index versions."""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.schedule import FIRST_DAY, scheduling

from spark_jobs.pipeline import stages_of

with DAG(
    dag_id="housekeeping",
    description="Keep the lake's tables small and fast",
    doc_md=__doc__,
    start_date=FIRST_DAY,
    max_active_runs=1,
    params={
        "keep_days": Param(
            7, type="integer", minimum=2, title="Days", description="Snapshots older than this many days expire."
        ),
        "quiet_hours": Param(
            24,
            type="integer",
            minimum=0,
            title="Quiet hours",
            description="A day changed within these is not compacted.",
        ),
        "keep_index_versions": Param(
            3, type="integer", minimum=1, title="Index versions", description="Index versions to keep."
        ),
    },
    default_args=DEFAULT_ARGS["housekeeping"],
    tags=["lake"],
    **scheduling("0 3 * * 0"),
):
    chain(*(StageOperator(stage=stage.name, release=True) for stage in stages_of("housekeeping")))
