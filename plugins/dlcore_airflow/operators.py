"""The one operator of the pipeline: runs a stage where its connection points, and says what came of it.

A connection of type `spark` goes through the provider's spark-submit; one of type `spark_connect` runs the same script as a
client of a warm Spark Connect server; a stage without a session is a plain process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.hooks.spark_connect import SparkConnectHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from dlcore_airflow.connections import checked_connection
from dlcore_airflow.links import RunReportLink, report_link
from dlcore_airflow.options import INHERITED, command_line, options_of
from dlcore_airflow.run_reports import Report, report_of, report_of_attempt, run_of
from dlcore_airflow.schedule import partition_day
from spark_jobs.pipeline import EXIT_BROKEN_CONTRACT, STAGES, Stage, session_id
from spark_jobs.settings import Settings, driver_variables, static_spark_conf

PROJECT = Path(__file__).resolve().parents[2]
CONNECTIONS = {"any": ("spark_connect", "spark"), "classic": ("spark",)}
KILL_WAIT_S = 20
ONE_ATTEMPT = {"spark.yarn.maxAppAttempts": "1"}
"""YARN starts a failed driver again; Airflow does that, and knows what must not be tried again."""
SUMMARY = ("status", "day", "rows_in", "rows_out", "reasons", "images_per_second", "snapshot", "warnings")


class StageOperator(SparkSubmitOperator):
    """Run one stage of `spark_jobs.pipeline.STAGES`.

    stage: its name · release: whether the task is the last of its DAG run and frees the run's Spark Connect session ·
    conn_id: the Spark connection; by default `PIPELINE_SPARK_CONNECTION` (`spark_connect`), for stages that need a classic
    session `PIPELINE_SPARK_SUBMIT_CONNECTION` (`spark_default`) · pool: by default, for a stage that reads HBase, the one that
    `PIPELINE_HBASE_POOL` names, which must exist: Airflow never starts a task of a missing pool.
    Pushes the run report's summary as XCom; its counts and the job's options go with the stage's asset. Rows of another set of
    codes than the one in use are no news of the asset: what listens looks at one set a run, and would leave out one of two.
    A broken contract fails without a retry.
    """

    template_fields: Sequence[str] = tuple(
        name for name in SparkSubmitOperator.template_fields if name not in ("application", "application_args", "conf")
    )
    operator_extra_links = (RunReportLink(),)
    ui_color = "#dbe9f6"

    def __init__(self, *, stage: str, release: bool = False, conn_id: str | None = None, **kwargs: Any) -> None:
        self.stage: Stage = STAGES[stage]
        self.release = release
        self._process: subprocess.Popen[str] | None = None
        pool = os.environ.get("PIPELINE_HBASE_POOL")
        if self.stage.reads_hbase and pool:
            kwargs.setdefault("pool", pool)
        super().__init__(
            task_id=kwargs.pop("task_id", stage),
            conn_id=conn_id or default_connection(self.stage),
            application=str(PROJECT / self.stage.script),
            name=stage,
            durable=False,
            doc=self.stage.title,
            outlets=kwargs.pop("outlets", [Asset(self.stage.writes)] if self.stage.writes else []),
            **kwargs,
        )

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the stage, wait for it, return its summary.

        Raises AirflowFailException for a broken contract or a wrong connection, AirflowException for what a retry may mend.
        """
        day = None if self.stage.dag != "image_pipeline" else partition_day(context)
        run = run_of(context["dag_run"])
        context["ti"].xcom_push(key=RunReportLink.xcom_key, value=report_link(self.stage.name, day, run))
        arguments = self.job_arguments(context, day)
        try:
            self._run(arguments, context, run)
        except AirflowFailException:
            raise
        except AirflowException as error:
            report = report_of_attempt(self.stage.name, day, run, context["ti"].try_number)
            raise self._explained(error, report) from error
        report = report_of(self.stage.name, day, run)
        if report is None:
            raise AirflowException(
                f"{self.stage.name} ended well but wrote no run report for {run}; look at PIPELINE_REPORTS"
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
        if self.release:
            arguments.append("--release")
        return arguments + command_line(options_of(self.stage, context))

    def on_kill(self) -> None:
        """Stop the job: the client asks its server to interrupt the session on SIGTERM."""
        if self._process is None:
            super().on_kill()
        elif self._process.poll() is None:
            _stop(self._process)

    def _run(self, arguments: list[str], context: Any, run: str) -> None:
        if self.stage.session == "none":
            self._run_process(arguments)
            return
        connection = checked_connection(self._conn_id, CONNECTIONS[self.stage.session])
        if connection.conn_type == "spark_connect":
            session = session_id(context["dag"].dag_id, run)
            url, token = connect_url(self._conn_id, connection.password)
            self._run_process([*arguments, "--remote", f"{url};session_id={session}"], PIPELINE_CONNECT_TOKEN=token)
            return
        self.application_args = arguments
        self.conf: dict[str, Any] = {
            **static_spark_conf(Settings.from_environment()),
            **ONE_ATTEMPT,
            **(self.conf or {}),
        }
        self.env_vars: dict[str, Any] = {**driver_variables(), **(self.env_vars or {}), "PYTHONPATH": python_path()}
        super().execute(context)

    def _run_process(self, arguments: list[str], **environment: str) -> None:
        command = [sys.executable, "-m", self.stage.module, *arguments]
        self.log.info("running %s", " ".join(command))
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": python_path(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.info("%s", line.rstrip())
        code = self._process.wait()
        if code:
            raise AirflowException(f"{self.stage.name} ended with exit code {code}")

    def _explained(self, error: AirflowException, report: Report | None) -> AirflowException:
        if report is None or report.get("status") == "published":
            return error
        message = f"{self.stage.name}: {report.get('error') or error}"
        broken = report.get("status") == "broken_contract" or f"exit code {EXIT_BROKEN_CONTRACT}" in str(error)
        return AirflowFailException(message) if broken else AirflowException(message)

    def _announce(self, context: Any, report: Report) -> dict[str, Any]:
        summary = {name: report[name] for name in SUMMARY if name in report}
        extra = {name: summary[name] for name in summary if name != "status"}
        options = options_of(self.stage, context)
        if options.get("codes") not in (None, Settings.from_environment().codes):
            self.outlets: list[Any] = []
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {**extra, INHERITED: options}
        return summary


def default_connection(stage: Stage) -> str:
    """The id of the Spark connection a stage runs on when its task names none."""
    if stage.session == "classic":
        return os.environ.get("PIPELINE_SPARK_SUBMIT_CONNECTION") or "spark_default"
    return os.environ.get("PIPELINE_SPARK_CONNECTION") or "spark_connect"


def connect_url(conn_id: str, token: str | None) -> tuple[str, str]:
    """URL of a Spark Connect server without its token, and the token, which travels by environment."""
    url = SparkConnectHook(conn_id).get_connection_url()
    parts = [part for part in url.split(";") if part and not part.startswith("token=")]
    head = parts[0].split("/token=")[0]
    return ";".join([head if head.endswith("/") else f"{head}/", *parts[1:]]), token or ""


def python_path() -> str:
    """PYTHONPATH of the jobs: the project before what is set already."""
    return os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))


def _stop(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            process.wait(KILL_WAIT_S)
            return
        except subprocess.TimeoutExpired:
            continue
