"""An operator that runs a job script where its connection points: what stages and other jobs have in common.

A connection of type `spark` goes through the provider's spark-submit; one of type `spark_connect` runs the same script
as a client of a warm Spark Connect server; a job without a session is a plain process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from airflow.providers.apache.spark.hooks.spark_connect import SparkConnectHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException

from dlcore_airflow.connections import checked_connection
from dlcore_airflow.project import PROJECT, python_path
from spark_jobs.pipeline import Session, session_id
from spark_jobs.settings import Settings, driver_variables, static_spark_conf

CONNECTIONS = {"any": ("spark_connect", "spark"), "classic": ("spark",)}
KILL_WAIT_S = 20
SAID_LINES = 50
ONE_ATTEMPT = {"spark.yarn.maxAppAttempts": "1"}
"""Keeps YARN from starting a failed driver again: Airflow does that, and knows what must not be tried again."""


class JobOperator(SparkSubmitOperator):
    """Run a script of `spark_jobs`.

    job: its name, by default also the task's.
    session: the kind of Spark session that it needs.
    title: what it does, for people.
    conn_id: the Spark connection; by default `PIPELINE_SPARK_CONNECTION` (`spark_connect`), for jobs that need a
    classic session `PIPELINE_SPARK_SUBMIT_CONNECTION` (`spark_default`).
    said: the last lines that the job's process has written.
    """

    template_fields: Sequence[str] = tuple(
        name for name in SparkSubmitOperator.template_fields if name not in ("application", "application_args", "conf")
    )
    ui_color = "#dbe9f6"

    def __init__(self, *, job: str, session: Session, title: str, conn_id: str | None = None, **kwargs: Any) -> None:
        self.job, self.session_kind = job, session
        self._process: subprocess.Popen[str] | None = None
        self.said: deque[str] = deque(maxlen=SAID_LINES)
        super().__init__(
            task_id=kwargs.pop("task_id", job),
            conn_id=conn_id or default_connection(session),
            application=str(PROJECT / "spark_jobs" / f"{job}.py"),
            name=job,
            durable=False,
            doc=title,
            **kwargs,
        )

    def run_job(self, arguments: list[str], context: Any, run: str) -> None:
        """Run the script to its end. The tasks of a run share one session.

        Raises:
            AirflowFailException: the connection is missing or of another type.
            AirflowException: nothing answers at its address, or the job failed.
        """
        if self.session_kind == "none":
            self._run_process(arguments)
            return
        connection = checked_connection(self._conn_id, CONNECTIONS[self.session_kind])
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

    def on_kill(self) -> None:
        """Stop the job: on SIGTERM the client asks its server to interrupt the session."""
        if self._process is None:
            super().on_kill()
        elif self._process.poll() is None:
            _stop(self._process)

    def _run_process(self, arguments: list[str], **environment: str) -> None:
        command = [sys.executable, "-m", f"spark_jobs.{self.job}", *arguments]
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
            self.said.append(line.strip())
        code = self._process.wait()
        if code:
            raise AirflowException(f"{self.job} ended with exit code {code}")


def ended_with(error: Exception, codes: Sequence[int]) -> bool:
    """Whether a job's error says that it ended with one of these exit codes."""
    return any(str(error).endswith(f"exit code {code}") for code in codes)


def default_connection(session: Session) -> str:
    """The id of the Spark connection a job runs on when its task names none."""
    if session == "classic":
        return os.environ.get("PIPELINE_SPARK_SUBMIT_CONNECTION") or "spark_default"
    return os.environ.get("PIPELINE_SPARK_CONNECTION") or "spark_connect"


def connect_url(conn_id: str, token: str | None) -> tuple[str, str]:
    """The URL of a Spark Connect server without its token, and the token, which is passed in the environment."""
    url = SparkConnectHook(conn_id).get_connection_url()
    parts = [part for part in url.split(";") if part and not part.startswith("token=")]
    head = parts[0].split("/token=")[0]
    return ";".join([head if head.endswith("/") else f"{head}/", *parts[1:]]), token or ""


def _stop(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            process.wait(KILL_WAIT_S)
            return
        except subprocess.TimeoutExpired:
            continue
