"""By backfill: the codes of published days anew, with another model, beside those in use.

    airflow backfill create --dag-id feature_extraction --from-date 2026-11-01 --to-date 2026-11-03 \\
        --dag-run-conf '{"codes": "v2", "models": "file:///srv/models-v2"}'
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param
from dlcore_airflow.alerts import stage_failed
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import EXTRACTOR, MODELS
from dlcore_airflow.priority import DailyRunFirst
from dlcore_airflow.schedule import FIRST_DAY
from dlcore_airflow.timetable import OnRequestTimetable

with DAG(
    dag_id="feature_extraction",
    description="Codes of another model beside those in use",
    doc_md=__doc__,
    start_date=FIRST_DAY,
    schedule=OnRequestTimetable("0 0 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=4,
    params={
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="The day to process. Empty: the day of the run's data interval.",
        ),
        "codes": Param(
            "next",
            type="string",
            pattern=r"^[a-z0-9_]+$",
            title="Codes",
            description="Name of the new set of codes; its tables are features_<name> and duplicates_<name>.",
        ),
        "models": MODELS,
        "extractor": EXTRACTOR,
    },
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=2),
        "weight_rule": DailyRunFirst(),
        "on_failure_callback": stage_failed,
    },
    tags=["models"],
):
    StageOperator(stage="extract_features", release=True, outlets=[])
