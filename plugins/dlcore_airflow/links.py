"""Links that Airflow shows on a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

PAGE = "/pipeline"


def report_link(stage: str, day: str | None, run: str) -> str:
    """Where the page shows one run report, relative to Airflow's own address."""
    return f"{PAGE}/report?{urlencode({'stage': stage, 'day': day or '', 'run': run})}"


class RunReportLink(BaseOperatorLink):
    """The run report of a stage: counts, reasons, contract results, throughput."""

    name = "Run report"
    xcom_key = "run_report_link"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The link that the operator has pushed under `xcom_key`; Airflow falls back on it where XCom is not read."""
        return PAGE
