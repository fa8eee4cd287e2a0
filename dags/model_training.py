"""By hand: train the small detector and the small DeepBit network on generated images, score them on held-out ones."""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.schedule import FIRST_DAY

from spark_jobs.pipeline import stages_of

with DAG(
    dag_id="model_training",
    description="Train and score the models",
    doc_md=__doc__,
    start_date=FIRST_DAY,
    schedule=None,
    max_active_runs=1,
    params={
        "minutes": Param(
            30, type="number", exclusiveMinimum=0, title="Minutes", description="Time budget of each training."
        ),
        "seed": Param(
            1, type="integer", minimum=0, title="Seed", description="Seed of the generated images and the weights."
        ),
    },
    default_args=DEFAULT_ARGS["model_training"],
    tags=["models"],
):
    chain(*(StageOperator(stage=stage.name) for stage in stages_of("model_training")))
