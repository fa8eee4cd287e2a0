"""The pipeline's page in Airflow: runs per day with counts by reason, contract results and throughput. Behind Airflow's login.

`/metrics` is the same for Prometheus, which cannot log in: it also takes the token of `PIPELINE_METRICS_TOKEN`.
"""

from __future__ import annotations

import os
from functools import partial
from hmac import compare_digest
from typing import Annotated

from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dlcore_airflow.run_reports import Report, latest_reports, newest_published, report_of
from dlcore_airflow.ui.metrics import CHAIN, metrics_text
from dlcore_airflow.ui.page import overview_page, report_page
from spark_jobs.pipeline import is_in_use
from spark_jobs.settings import Settings

MAX_DAYS = 366

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
Days = Annotated[int, Query(ge=1, le=MAX_DAYS)]


async def user_or_prometheus(request: Request, given: Bearer) -> None:
    """Let in who has the metrics' token, or else who has logged in to Airflow. Raises 401 or 403 for others."""
    token = os.environ.get("PIPELINE_METRICS_TOKEN")
    if not (token and given and compare_digest(given.credentials.encode(), token.encode())):
        await get_user(request, None, given)


pages = APIRouter(dependencies=[Depends(get_user)])
metrics = APIRouter(dependencies=[Depends(user_or_prometheus)])


@pages.get("/", response_class=HTMLResponse)
def overview(days: Days = 31) -> str:
    """The newest run of every stage, day by day.

    days: how many of the newest days to show.
    """
    return overview_page(latest_reports(days))


@pages.get("/reports")
def reports(days: Days = 31) -> list[Report]:
    """The same as JSON."""
    return latest_reports(days)


@pages.get("/report", response_class=HTMLResponse)
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


@metrics.get("/metrics", response_class=PlainTextResponse)
def prometheus(days: Days = 31) -> str:
    """The last run of every stage in the set of codes in use as metrics, among those of the newest days; the newest published day."""
    counts = partial(is_in_use, codes=Settings.from_environment().codes)
    published = newest_published(CHAIN[-1].name)
    return metrics_text([*latest_reports(days, counts), *([published] if published else [])])


app = FastAPI(title="Image pipeline", docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(pages)
app.include_router(metrics)
