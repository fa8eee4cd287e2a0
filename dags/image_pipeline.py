"""Every day: HBase images to DeepBit codes on the lake, five stages, each published before the next begins.

By hand: `airflow dags trigger image_pipeline --conf '{"day": "2026-11-02"}'`.
For the past: `airflow backfill create --dag-id image_pipeline --from-date 2026-11-01 --to-date 2026-11-03`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dlcore_airflow.alerts import daily_deadline
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.documentation import documentation
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import CODES, DAY, DETECTOR, EXTRACTOR, MODELS, number_param
from dlcore_airflow.schedule import FIRST_DAY, scheduling

from spark_jobs.pipeline import IMAGE_PIPELINE, stages_of

PARAMS = {
    "day": DAY,
    "table": Param(
        None,
        type=["null", "string"],
        pattern=r"^[A-Za-z0-9_.:-]+$",
        title="HBase table",
        description="The table to read the images from. Empty: the setting PIPELINE_HBASE_TABLE.",
    ),
    "placeholders": Param(
        None,
        type=["null", "string"],
        title="Placeholders",
        description="URI of a list of placeholders, pictures shown where there is none: one SHA-256 per line. Empty: "
        "the setting PIPELINE_PLACEHOLDERS.",
    ),
    "models": MODELS,
    "detector": DETECTOR,
    "margin": number_param(
        None,
        most=1,
        whole=False,
        title="Margin",
        example="0.15",
        description="How much a crop keeps around its object, as a share of the object's longer side, 0 to 1. Empty: "
        "0.08.",
    ),
    "crops_per_image": number_param(
        None,
        least=1,
        title="Crops per image",
        example="2",
        description="Most objects to cut out of an image, 1 or more, the likeliest products first. Empty: one.",
    ),
    "fall_back": Param(
        True,
        type="boolean",
        title="Use the whole image if no object is found",
        description="If this is off, an image in which no object is found gets no code; its reason is no_object.",
    ),
    "extractor": EXTRACTOR,
    "codes": CODES,
    "limit": number_param(
        None,
        least=1,
        title="Limit",
        example="10",
        description="For a trial: read at most this many images, 1 or more. Their rows go to the tables of trials, "
        "never to the day, the groups or the index; `python -m spark_jobs.remove_trials` removes them. Empty: all.",
    ),
    "allow_empty": Param(
        False,
        type="boolean",
        title="Allow an empty day",
        description="A day without rows is an error unless this is set; then the day is published empty.",
    ),
}

with DAG(
    dag_id=IMAGE_PIPELINE,
    description="Product images from HBase: preprocess, detect, crop, DeepBit codes",
    doc_md=documentation(__doc__, IMAGE_PIPELINE),
    start_date=FIRST_DAY,
    max_active_runs=4,
    params=PARAMS,
    default_args=DEFAULT_ARGS[IMAGE_PIPELINE],
    deadline=daily_deadline(),
    tags=["images", "daily"],
    **scheduling(),
):
    stages = stages_of(IMAGE_PIPELINE)
    chain(*(StageOperator(stage=stage.name, release=stage is stages[-1]) for stage in stages))
