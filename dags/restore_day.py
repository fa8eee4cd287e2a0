"""By hand: bring a day back to what it was before its last run; groups and index follow by themselves.

    airflow dags trigger restore_day --conf '{"day": "2026-11-02"}'

`python -m spark_jobs.restore_day`, and the button *Undo* of the page *Image pipeline*, do the same. A second run takes
the undoing back, so Airflow never retries it. If the run is named, the undoing is refused if another run has published
the day since.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.params import REQUIRED_DAY
from dlcore_airflow.restoring import RestoreOperator
from dlcore_airflow.schedule import FIRST_DAY

from spark_jobs.pipeline import IMAGE_PIPELINE, UNDOING, stages_of

with DAG(
    dag_id=UNDOING,
    description="Undo the last publish of a day",
    doc_md=__doc__,
    start_date=FIRST_DAY,
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=1,
    params={
        "day": REQUIRED_DAY,
        "run": Param(
            None,
            type=["null", "string"],
            title="Run",
            description="The run to undo, as run reports name it. Empty: the run that published the day last.",
        ),
        "dataset": Param(
            None,
            type=["null", "string"],
            enum=[None, *(stage.writes for stage in stages_of(IMAGE_PIPELINE))],
            title="Dataset",
            description="Undo only this dataset, if its contract then still holds. Empty: all that the run replaced.",
        ),
        "allow_empty": Param(
            False,
            type="boolean",
            title="Allow an empty day",
            description="If the day had no rows before the run, empty it. Otherwise such an undoing is refused.",
        ),
    },
    default_args=DEFAULT_ARGS[UNDOING],
    tags=["images", "by hand", "undo"],
):
    RestoreOperator()
