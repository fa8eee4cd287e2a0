"""The lake as a test sees it: where its tables are, and how to start a job on it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import fsspec

from spark_jobs.pipeline import report_uri
from spark_jobs.running import sessions
from spark_jobs.settings import Settings


@dataclass(frozen=True)
class Lake:
    """A running Spark Connect server's settings, and the environment in which jobs of their own process run."""

    settings: Settings
    environment: Mapping[str, str]

    def remote(self, session: str | None = None) -> str:
        """The server's URL for a job's `--remote`, by default with a session of its own."""
        return f"{self.settings.connect_url}/;session_id={session or uuid4()}"

    def connect(self) -> Any:
        """A session beside those of the jobs, to look at the tables as any reader would.

        Made in a thread of its own: the first session of a thread becomes its active one, which is to be the job's.
        """
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(sessions.connected, self.remote(), self.settings).result()

    def report(self, stage: str, day: str | None, run: str) -> dict[str, Any]:
        """The run report as a job wrote it."""
        files, path = fsspec.url_to_fs(report_uri(self.settings.reports, stage, day, run))
        report: dict[str, Any] = json.loads(files.cat_file(path))
        return report

    def python(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python as Airflow would, with the settings of this lake in its environment."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
