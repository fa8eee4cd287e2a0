"""Params that several DAGs have in their trigger form."""

from __future__ import annotations

from airflow.sdk import Param

MODELS = Param(
    None,
    type=["null", "string"],
    title="Models",
    description="Where the models are, as a URI. Empty: the setting PIPELINE_MODELS.",
)
EXTRACTOR = Param(
    None,
    type=["null", "string"],
    title="Extractor",
    description="The name of the model that makes the codes, under the models. Empty: the shipped one.",
)
