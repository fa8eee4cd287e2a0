"""By hand: train the small detector and an extractor on generated images, score them on held-out ones.

With a backbone, the code of whole pictures is trained, also on a shop's own pictures. The new extractor is then
promoted only if it finds the shop's pictures better than before.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.documentation import documentation
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import number_param
from dlcore_airflow.schedule import FIRST_DAY

from spark_jobs.pipeline import MODEL_TRAINING, stages_of

with DAG(
    dag_id=MODEL_TRAINING,
    description="Train and score the models",
    doc_md=documentation(__doc__, MODEL_TRAINING),
    start_date=FIRST_DAY,
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=1,
    params={
        "minutes": number_param(30, least=0.01, whole=False, title="Minutes", description="Time for each training."),
        "seed": number_param(1, title="Seed", description="Seed of the generated images and of the weights."),
        "backbone": Param(
            "",
            type="string",
            enum=["", "efficientnet-lite0"],
            title="Backbone",
            description="The network on whose features the code of whole pictures is trained. Empty: train the small "
            "network, which codes the crop.",
        ),
        "catalogue": Param(
            None,
            type=["null", "string"],
            title="Catalogue",
            description="With a backbone: a folder of the shop's own pictures on the machine that trains; it trains "
            "on them as well.",
        ),
    },
    default_args=DEFAULT_ARGS[MODEL_TRAINING],
    tags=["models", "training"],
):
    chain(*(StageOperator(stage=stage.name) for stage in stages_of(MODEL_TRAINING)))
