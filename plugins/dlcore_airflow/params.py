"""Params that several DAGs have in their trigger form, the same or nearly."""

from __future__ import annotations

from airflow.sdk import Param

_NAME_OF_CODES = r"^[a-z0-9_]+$"

DAY = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Day",
    description="The day to process. Empty: the day of the run's data interval; for a run by hand, yesterday.",
)
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
    pattern=_NAME_OF_CODES,
    title="Codes",
    description="Name of a set of codes beside the one in use, as the DAG feature_extraction makes them. Empty: the one in use.",
)
NEW_CODES = Param(
    "next",
    type="string",
    pattern=_NAME_OF_CODES,
    title="Codes",
    description="Name of the new set of codes; its tables are features_<name> and duplicates_<name>.",
)
