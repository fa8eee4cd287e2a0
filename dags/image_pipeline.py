"""Every day: HBase images to DeepBit codes on the lake, five stages, each published before the next begins.

By hand: `airflow dags trigger image_pipeline --conf '{"day": "2026-11-02"}'`.
For the past: `airflow backfill create --dag-id image_pipeline --from-date 2026-11-01 --to-date 2026-11-03`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dlcore_airflow.alerts import daily_deadline
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import CODES, DAY, EXTRACTOR, MODELS
from dlcore_airflow.schedule import FIRST_DAY, scheduling

from spark_jobs.pipeline import stages_of

PARAMS = {
    "day": DAY,
    "table": Param(
        None,
        type=["null", "string"],
        pattern=r"^[A-Za-z0-9_.:-]+$",
        title="HBase table",
        description="The table to read the images from. Empty: the setting PIPELINE_HBASE_TABLE.",
    ),
    "models": MODELS,
    "detector": Param(
        None,
        type=["null", "string"],
        title="Detector",
        description="The detector's name under the models. `none`: no detection, codes are of whole images. Empty: the shipped one.",
    ),
    "margin": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        title="Margin",
        description="What a crop keeps around its object, as a share of the object's longer side. Empty: the usual 0.08.",
    ),
    "crops_per_image": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Crops of an image",
        description="Cut out at most this many objects, the likeliest products first. Empty: one.",
    ),
    "fall_back": Param(
        True,
        type="boolean",
        title="Whole image without an object",
        description="An image in which no object is found is used whole; else it gets no code, with the reason no_object.",
    ),
    "extractor": EXTRACTOR,
    "codes": CODES,
    "limit": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Limit",
        description="Read at most this many images: for a trial. Empty: all of the day.",
    ),
    "allow_empty": Param(
        False,
        type="boolean",
        title="Allow an empty day",
        description="A day without any row is an error unless this is set; then the day is published empty.",
    ),
}

with DAG(
    dag_id="image_pipeline",
    description="Product images from HBase: preprocess, detect, crop, DeepBit codes",
    doc_md=__doc__,
    start_date=FIRST_DAY,
    max_active_runs=4,
    params=PARAMS,
    default_args=DEFAULT_ARGS["image_pipeline"],
    deadline=daily_deadline(),
    tags=["images"],
    **scheduling(),
):
    stages = stages_of("image_pipeline")
    chain(*(StageOperator(stage=stage.name, release=stage is stages[-1]) for stage in stages))
