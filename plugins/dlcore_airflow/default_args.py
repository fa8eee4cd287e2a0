"""The `default_args` of the DAGs: how often and how long a stage is tried, which goes first, and who is told when one
has failed for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dlcore_airflow.alerts import stage_failed
from dlcore_airflow.hours import hours
from dlcore_airflow.priority import DailyRunFirst
from spark_jobs.pipeline import (
    DAY_CHECK,
    FEATURE_EXTRACTION,
    HOUSEKEEPING,
    IMAGE_PIPELINE,
    MODEL_TRAINING,
    SIMILAR_IMAGES,
    UNDOING,
)

Arguments = dict[str, Any]

LONGEST_HOURS = 24.0
"""A limit that only a hanging attempt exceeds, which would otherwise keep its slot and that of its pool.
`PIPELINE_STAGE_HOURS` sets another limit, for days that take longer."""

_TRIED_THRICE: Arguments = {
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    # Airflow counts the attempts before a task was cleared as well: without a limit the pause grows to hours.
    "max_retry_delay": timedelta(minutes=2),
}
_OF_A_DAY: Arguments = {**_TRIED_THRICE, "weight_rule": DailyRunFirst()}
_OF_EACH: dict[str, Arguments] = {
    IMAGE_PIPELINE: _OF_A_DAY,
    FEATURE_EXTRACTION: _OF_A_DAY,
    SIMILAR_IMAGES: _TRIED_THRICE,
    DAY_CHECK: {"retries": 1, "retry_delay": timedelta(minutes=5)},
    HOUSEKEEPING: {"retries": 1, "retry_delay": timedelta(minutes=5)},
    # The same seed fails as before, and takes the whole time budget again: whoever is told decides. Airflow's own
    # default may differ.
    MODEL_TRAINING: {"retries": 0},
    # A second try would take back what the first has undone.
    UNDOING: {"retries": 0},
}

OWNER = "image-pipeline"
"""The owner, by which Airflow's list of DAGs can be filtered."""

_OF_ALL: Arguments = {
    "owner": OWNER,
    "execution_timeout": hours("PIPELINE_STAGE_HOURS", LONGEST_HOURS),
    "on_failure_callback": stage_failed,
}

DEFAULT_ARGS = {dag: {**own, **_OF_ALL} for dag, own in _OF_EACH.items()}
"""DAG id -> its `default_args`."""
