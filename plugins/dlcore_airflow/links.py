"""Links to what became of a run and of a day; Airflow shows them on tasks and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

from spark_jobs.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

PAGE = "/pipeline"
"""Where the page is mounted. Its own address ends with a slash: without one, Airflow takes it for one of its pages."""


def report_link(stage: str, day: str | None, run: str) -> str:
    """Where the page shows one run report, relative to Airflow's own address."""
    return f"{PAGE}/report?{urlencode({'stage': stage, 'day': day or '', 'run': run})}"


def day_link(day: str) -> str:
    """Where the page shows one day, relative to Airflow's own address."""
    return f"{PAGE}/?{urlencode({'until': day, 'days': 1})}"


def pictures_link(day: str) -> str:
    """Where the search service shows a day's pictures; empty without PIPELINE_SEARCH_URL."""
    url = Settings.from_environment().search_url
    return f"{url.rstrip('/')}/day/{day}" if url else ""


def day_links(day: str) -> dict[str, str]:
    """The pages about a day: name -> address."""
    found = {"runs and reports": day_link(day), "pictures": pictures_link(day)}
    return {name: address for name, address in found.items() if address}


class RunReportLink(BaseOperatorLink):
    """The run report of a stage: counts, reasons, contract results, throughput."""

    name = "Run report"
    xcom_key = "run_report_link"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The link of the task's own run, else the page.

        Airflow asks at the end of the task, in its process, and pushes the answer under `xcom_key` over what the
        operator has pushed.
        """
        return getattr(operator, "report_link", None) or f"{PAGE}/"
