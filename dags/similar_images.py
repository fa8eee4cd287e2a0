"""After each day's features: duplicate groups and the search index, over all published days.

New features of the set of codes in use start it. It uses the models that made these features; if several days start one
run, it uses those of the newest. By hand, for another set of codes or with other models:
`airflow dags trigger similar_images --conf '{"models": "hdfs://namenode:8020/models"}'`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, chain
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.documentation import documentation
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import CODES, DETECTOR, EXTRACTOR, MODELS
from dlcore_airflow.schedule import FIRST_DAY

from spark_jobs.pipeline import SIMILAR_IMAGES, stages_of

with DAG(
    dag_id=SIMILAR_IMAGES,
    description="Calibrate, group duplicates, build the search index",
    doc_md=documentation(__doc__, SIMILAR_IMAGES),
    start_date=FIRST_DAY,
    schedule=[Asset("features")],
    max_active_runs=1,
    params={"models": MODELS, "detector": DETECTOR, "extractor": EXTRACTOR, "codes": CODES},
    default_args=DEFAULT_ARGS[SIMILAR_IMAGES],
    tags=["images", "duplicates", "search"],
):
    stages = stages_of(SIMILAR_IMAGES)
    chain(*(StageOperator(stage=stage.name, release=stage is stages[-1]) for stage in stages))
