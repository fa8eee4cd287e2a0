"""The operator that undoes the last publish of a day: the command `spark_jobs.restore_day`, with Airflow's log, login
and alarm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dlcore_airflow.jobs import JobOperator, ended_with
from dlcore_airflow.run_name import run_of
from dlcore_airflow.schedule import partition_day
from spark_jobs.pipeline import EXIT_BROKEN_CONTRACT, EXIT_MISTAKE, EXIT_WRONG_LINE, UNDOING

OF_CODES = "features"
"""The dataset whose asset starts similar_images."""
REFUSALS = (EXIT_MISTAKE, EXIT_WRONG_LINE, EXIT_BROKEN_CONTRACT)


class RestoreOperator(JobOperator):
    """Take the day of the run's params back to what it was before its last run.

    The params `run`, `dataset` and `allow_empty` are the options of the command. Restored codes trigger the asset
    `features`, so that groups and index follow. If the command refuses, the task fails with its words.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            job=UNDOING,
            session="any",
            title="Undo the last publish of a day",
            outlets=[Asset(OF_CODES)],
            **kwargs,
        )

    def execute(self, context: Any) -> str:
        """Run the command; return its last words.

        Raises:
            AirflowFailException: the command refuses; a retry would find the same.
            AirflowException: it failed otherwise; its log says how to continue.
        """
        params = context["params"]
        arguments = ["--day", partition_day(context)]
        arguments += [f"--{name}={params[name]}" for name in ("run", "dataset") if params.get(name)]
        arguments += ["--allow-empty"] if params.get("allow_empty") else []
        if params.get("dataset") not in (None, "", OF_CODES):
            self.outlets: list[Any] = []
        try:
            self.run_job(arguments, context, run_of(context["dag_run"]))
        except AirflowFailException:
            raise
        except AirflowException as error:
            told = AirflowFailException if ended_with(error, REFUSALS) else AirflowException
            raise told(reason(self.said) or str(error)) from error
        return self.said[-1] if self.said else ""


def reason(said: Iterable[str]) -> str:
    """Why the command failed, from the lines it has written: the error of a run report, or its own last word; else
    empty.

    >>> reason(["INFO staged", "restore_day: got a day that was never published; expected one to undo"])
    'restore_day: got a day that was never published; expected one to undo'
    >>> said = ['{"status": "refused", "error": "no rows"}', "restore_day: restored nothing", "python -m ..."]
    >>> reason(said)
    'restore_day: no rows'
    """
    words = ""
    for line in said:
        if line.startswith(f"{UNDOING}: ") and not words:
            words = line
        elif line.startswith("{"):
            with suppress(ValueError, AttributeError):
                words = f"{UNDOING}: {json.loads(line).get('error') or ''}"
    return words
