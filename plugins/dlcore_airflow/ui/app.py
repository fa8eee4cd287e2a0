"""The pipeline's page in Airflow: runs per day with counts by reason, contract results and throughput. Behind Airflow's login."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse

from dlcore_airflow.run_reports import Report, latest_reports, report_of
from dlcore_airflow.ui.page import overview_page, report_page

MAX_DAYS = 366

app = FastAPI(title="Image pipeline", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/", response_class=HTMLResponse)
def overview(days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 31) -> str:
    """The newest run of every stage, day by day.

    days: how many of the newest days to show.
    """
    return overview_page(latest_reports(days))


@app.get("/reports")
def reports(days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 31) -> list[Report]:
    """The same as JSON."""
    return latest_reports(days)


@app.get("/report", response_class=HTMLResponse)
def report(stage: str, run: str, day: str = "") -> str:
    """One run report, whole.

    Raises 404 when the stage has written none for this run, 422 when there is no such stage or day.
    """
    try:
        found = report_of(stage, day or None, run)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    if found is None:
        raise HTTPException(404, f"no report of stage {stage!r} for run {run!r} yet; it is written when the job ends")
    return report_page(found)
