"""The options of a job in one DAG run: the run's params, else those of the run whose features started it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark_jobs.pipeline import Stage

INHERITED = "options"
"""The key under which the extra of an asset event keeps the options of the job that wrote the asset."""


def options_of(stage: Stage, context: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the stage that are set for this run, name -> value.

    context: Airflow's task context. Params win; those left empty come from the newest asset event with any, so that
    similar_images uses the models that made the features. All events are about the set of codes in use (see
    StageOperator), which a run always handles whole.
    """
    given = _inherited(context) | {name: value for name, value in context["params"].items() if value is not None}
    return {name: given[name] for name in stage.options if given.get(name) is not None}


def is_trial(context: Mapping[str, Any]) -> bool:
    """Whether the run is a trial, which reads only a part of its day; all its stages write to the tables of trials."""
    return bool(context["params"].get("limit"))


def command_line(options: Mapping[str, Any]) -> list[str]:
    """The options as arguments of a job.

    >>> command_line({"crops_per_image": 3, "fall_back": False})
    ['--crops-per-image=3', '--no-fall-back']
    """
    return [_argument(name.replace("_", "-"), value) for name, value in options.items()]


def _argument(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"


def _inherited(context: Mapping[str, Any]) -> dict[str, Any]:
    """The options in the newest event that has any; an event made by hand, in the UI or by REST, has none."""
    events = [event for of_asset in context.get("triggering_asset_events", {}).values() for event in of_asset]
    telling = [event for event in events if isinstance((event.extra or {}).get(INHERITED), Mapping)]
    newest = max(telling, key=lambda event: event.timestamp, default=None)
    return dict(newest.extra[INHERITED]) if newest else {}
