"""Every week: expire old snapshots, compact small files, remove orphans and old index versions."""

from __future__ import annotations

from airflow.sdk import DAG, chain
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.documentation import documentation
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import number_param
from dlcore_airflow.schedule import FIRST_DAY, scheduling

from spark_jobs.pipeline import HOUSEKEEPING, stages_of

with DAG(
    dag_id=HOUSEKEEPING,
    description="Keep the lake's tables small and fast",
    doc_md=documentation(__doc__, HOUSEKEEPING),
    start_date=FIRST_DAY,
    max_active_runs=1,
    params={
        "keep_days": number_param(
            7, least=2, title="Days", description="Snapshots older than this many days expire. At least 2."
        ),
        "quiet_hours": number_param(
            24,
            title="Quiet hours",
            description="A day that changed within this many hours is not compacted. Tables without days are compacted "
            "whenever they need it; a run that is writing to one then computes its rows anew.",
        ),
        "keep_index_versions": number_param(
            3, least=1, title="Index versions", description="How many of the newest versions of the index to keep."
        ),
    },
    default_args=DEFAULT_ARGS[HOUSEKEEPING],
    tags=["lake", "weekly"],
    **scheduling("0 3 * * 0"),
):
    chain(*(StageOperator(stage=stage.name, release=True) for stage in stages_of(HOUSEKEEPING)))
