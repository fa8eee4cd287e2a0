"""The operator of the pipeline's stages: it runs a stage where its connection points, and says what came of it."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from dlcore_airflow.jobs import JobOperator, ended_with
from dlcore_airflow.links import RunReportLink, report_link
from dlcore_airflow.options import INHERITED, command_line, is_trial, options_of
from dlcore_airflow.run_name import run_of
from dlcore_airflow.schedule import partition_day
from spark_jobs.pipeline import (
    EXIT_BROKEN_CONTRACT,
    EXIT_MISTAKE,
    EXIT_NOTHING_YET,
    EXIT_WRONG_LINE,
    NOTHING_YET,
    REFUSED,
    STAGES,
    Stage,
)
from spark_jobs.run_reports.reading import PastRun, report_of, report_of_attempt
from spark_jobs.settings import Settings

OUTCOMES = {
    "broken_contract": ((EXIT_BROKEN_CONTRACT,), AirflowFailException),
    REFUSED: ((EXIT_MISTAKE, EXIT_WRONG_LINE), AirflowFailException),
    NOTHING_YET: ((EXIT_NOTHING_YET,), AirflowSkipException),
}
"""Status of a run report -> the exit codes that say the same, and the exception for Airflow; any other status means
that a retry may help."""
SUMMARY = ("status", "trial", "day", "rows_in", "rows_out", "reasons", "images_per_second", "snapshot", "warnings")


class StageOperator(JobOperator):
    """Run one stage of `spark_jobs.pipeline.STAGES`.

    stage: its name · release: whether the task is the last of its DAG run and frees the run's Spark Connect session ·
    conn_id: as JobOperator's · pool: for a stage that reads HBase, by default the one that `PIPELINE_HBASE_POOL` names.
    It must exist: Airflow never starts a task of a missing pool. Pushes the run report's summary as XCom; its counts
    and the job's options go with the stage's asset. Rows of a
    trial, or of a set of codes that is not in use, do not trigger the asset: a listening DAG handles one set of codes
    per run. A broken contract fails without a retry. While there is nothing to read yet, or nothing of a scheduled day,
    the stage and those after it are skipped.
    """

    operator_extra_links = (RunReportLink(),)

    def __init__(self, *, stage: str, release: bool = False, **kwargs: Any) -> None:
        self.stage: Stage = STAGES[stage]
        self.release = release
        pool = os.environ.get("PIPELINE_HBASE_POOL")
        if self.stage.reads_hbase and pool:
            kwargs.setdefault("pool", pool)
        super().__init__(
            job=stage,
            session=self.stage.session,
            title=self.stage.title,
            outlets=kwargs.pop("outlets", [Asset(self.stage.writes)] if self.stage.writes else []),
            **kwargs,
        )

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the stage, wait for it, return its summary.

        Raises:
            AirflowFailException: a contract is broken or a connection is wrong.
            AirflowSkipException: no image has been loaded, ever or of a scheduled day.
            AirflowException: something failed, and a retry may help.
        """
        day = partition_day(context) if self.stage.is_daily else None
        run = run_of(context["dag_run"])
        self.report_link = report_link(self.stage.name, day, run)
        context["ti"].xcom_push(key=RunReportLink.xcom_key, value=self.report_link)
        arguments = self.job_arguments(context, day) + self._request(context)
        try:
            self.run_job(arguments, context, run)
        except AirflowFailException:
            raise
        except AirflowException as error:
            report = report_of_attempt(_reports(), self.stage.name, day, run, context["ti"].try_number)
            raise self._explained(error, report) from error
        report = report_of(_reports(), self.stage.name, day, run)
        if report is None:
            raise AirflowException(
                f"{self.stage.name} succeeded but wrote no run report for {run}; check PIPELINE_REPORTS"
            )
        return self._announce(context, report)

    def job_arguments(self, context: Any, day: str | None) -> list[str]:
        """The command line of the job, without the session."""
        arguments = ["--run", run_of(context["dag_run"]), "--attempt", str(context["ti"].try_number)]
        arguments += ["--dag", context["dag"].dag_id]
        if day is not None:
            arguments += ["--day", day]
        if context["params"].get("allow_empty"):
            arguments.append("--allow-empty")
        if is_trial(context):
            arguments.append("--trial")
        if self.release:
            arguments.append("--release")
        return arguments + command_line(options_of(self.stage, context))

    def _request(self, context: Any) -> list[str]:
        """For the first task of a DAG: the run's params, so that it checks those of later tasks before it begins."""
        if self.upstream_task_ids:
            return []
        return [
            "--request",
            json.dumps({name: value for name, value in context["params"].items() if value is not None}),
        ]

    def _explained(self, error: AirflowException, report: PastRun | None) -> AirflowException:
        said = report or {}
        if said.get("status") == "published":
            return error
        message = f"{self.stage.name}: {said['error']}" if said.get("error") else str(error)
        for status, (codes, told) in OUTCOMES.items():
            if said.get("status") == status or ended_with(error, codes):
                return told(message)
        return error if report is None else AirflowException(message)

    def _announce(self, context: Any, report: PastRun) -> dict[str, Any]:
        summary = {name: report[name] for name in SUMMARY if name in report}
        extra = {name: summary[name] for name in summary if name != "status"}
        options = options_of(self.stage, context)
        if is_trial(context) or options.get("codes") not in (None, Settings.from_environment().codes):
            self.outlets: list[Any] = []
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {**extra, INHERITED: options}
        return summary


def _reports() -> str:
    return Settings.from_environment().reports
