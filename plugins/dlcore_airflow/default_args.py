"""The `default_args` of the DAGs: how often a stage is tried, which goes first, and who is told when one has failed for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dlcore_airflow.alerts import stage_failed
from dlcore_airflow.priority import DailyRunFirst

Arguments = dict[str, Any]

_TRIED_THRICE: Arguments = {
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    # Airflow counts the attempts before a task was cleared as well: without a limit the pause grows to hours.
    "max_retry_delay": timedelta(minutes=2),
}
_OF_A_DAY: Arguments = {**_TRIED_THRICE, "weight_rule": DailyRunFirst()}
_OF_EACH: dict[str, Arguments] = {
    "image_pipeline": _OF_A_DAY,
    "feature_extraction": _OF_A_DAY,
    "similar_images": _TRIED_THRICE,
    "housekeeping": {"retries": 1, "retry_delay": timedelta(minutes=5)},
    # The same seed fails as before, and takes the whole time budget again: whoever is told decides. Airflow's own default may differ.
    "model_training": {"retries": 0},
}

DEFAULT_ARGS = {dag: {**own, "on_failure_callback": stage_failed} for dag, own in _OF_EACH.items()}
"""By DAG id."""
