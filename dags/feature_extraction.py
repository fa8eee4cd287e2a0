"""By backfill: compute the codes of published days anew, with another model, beside those in use.

    airflow backfill create --dag-id feature_extraction --from-date 2026-11-01 --to-date 2026-11-03 \\
        --dag-run-conf '{"codes": "v2", "models": "file:///srv/models-v2"}'
"""

from __future__ import annotations

from airflow.sdk import DAG
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import DAY, EXTRACTOR, MODELS, NEW_CODES
from dlcore_airflow.schedule import FIRST_DAY
from dlcore_airflow.timetable import OnRequestTimetable

from spark_jobs.pipeline import FEATURE_EXTRACTION

with DAG(
    dag_id=FEATURE_EXTRACTION,
    description="Compute codes of another model beside those in use",
    doc_md=__doc__,
    start_date=FIRST_DAY,
    schedule=OnRequestTimetable("0 0 * * *", timezone="UTC"),
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=4,
    params={"day": DAY, "codes": NEW_CODES, "models": MODELS, "extractor": EXTRACTOR},
    default_args=DEFAULT_ARGS[FEATURE_EXTRACTION],
    tags=["models", "backfill"],
):
    StageOperator(stage="extract_features", release=True, outlets=[])
