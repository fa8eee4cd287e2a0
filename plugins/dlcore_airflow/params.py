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
CODES = Param(
    None,
    type=["null", "string"],
    pattern=r"^[a-z0-9_]+$",
    title="Codes",
    description="Name of a set of codes beside the one in use, as the DAG feature_extraction makes them. Empty: the one in use.",
)
