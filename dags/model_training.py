"""By hand: train the small detector and an extractor on generated images, score them on held-out ones.

With a backbone, the code of whole pictures is trained, also on a shop's own pictures. The new extractor is then
promoted only if it finds the shop's pictures better than before.

With a config, only `train_model` runs: it trains another network on pictures of the lake. If it is killed or fails,
clear the task: it goes on from its latest checkpoint.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, chain
from airflow.sdk.exceptions import AirflowSkipException
from dlcore_airflow.default_args import DEFAULT_ARGS
from dlcore_airflow.documentation import documentation
from dlcore_airflow.operators import StageOperator
from dlcore_airflow.params import number_param
from dlcore_airflow.schedule import FIRST_DAY

from spark_jobs.pipeline import MODEL_TRAINING, stages_of

OF_CONFIG = "train_model"


def only_with_config(context: Any) -> None:
    """Skip the task if nobody has said what to train."""
    if not context["params"].get("config"):
        raise AirflowSkipException("the param `config` is empty")


def only_without_config(context: Any) -> None:
    """Skip the task, and so those after it, if the run is for another network."""
    if context["params"].get("config"):
        raise AirflowSkipException(f"the param `config` is set: only {OF_CONFIG} runs")


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
        "config": Param(
            None,
            type=["null", "string"],
            title="Config",
            examples=["hdfs://namenode:8020/configs/train_model.toml"],
            description="A TOML file, such as docs/train_model.toml, as a path or URI where the job runs: train only "
            "what it says, on pictures of the lake. The params above are then not used.",
        ),
    },
    default_args=DEFAULT_ARGS[MODEL_TRAINING],
    tags=["models", "training"],
):
    first, *others = (stage.name for stage in stages_of(MODEL_TRAINING) if stage.name != OF_CONFIG)
    chain(
        StageOperator(stage=first, pre_execute=only_without_config),
        *(StageOperator(stage=name) for name in others),
    )
    StageOperator(stage=OF_CONFIG, release=True, pre_execute=only_with_config)
