"""The pipeline's page in Airflow: runs per day with counts by reason, contract results and throughput. Behind Airflow's
login.

`/metrics` gives the same to Prometheus, which cannot log in: it also takes the token of `PIPELINE_METRICS_TOKEN`.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlencode

from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dlcore_airflow.ui import actions
from dlcore_airflow.ui.comparison import comparison_page
from dlcore_airflow.ui.dag_runs import of_dag_run
from dlcore_airflow.ui.layout import POLICY
from dlcore_airflow.ui.metrics import CHAIN, metrics_text
from dlcore_airflow.ui.page import Asked, overview_page
from dlcore_airflow.ui.picture import picture_of
from dlcore_airflow.ui.report import report_page
from dlcore_airflow.ui.table import COLUMNS, csv_text
from dlcore_airflow.ui.under_way import under_way
from dlcore_airflow.ui.visitors import to_login
from spark_jobs.pipeline import ALL_DAYS, IMAGE_PIPELINE, STAGES, UNDOING, is_day, is_in_use
from spark_jobs.run_reports.reading import (
    PastRun,
    attempts_under_way,
    for_readers,
    latest_reports,
    newest_published,
    published_of_day,
    report_of,
    reports_of_days,
)
from spark_jobs.settings import Settings

MAX_DAYS = 366
MAX_TEXT = 400
SCRIPT = (Path(__file__).parent / "page.js").read_text()
CACHED = {"Cache-Control": "private, max-age=300"}

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
User = Annotated[Any, Depends(get_user)]
Days = Annotated[int, Query(ge=1, le=MAX_DAYS)]
Until = Annotated[str, Query(pattern=r"^(\d{4}-\d\d-\d\d)?$")]
Sort = Annotated[str, Query(pattern=f"^-?({'|'.join(COLUMNS)})$")]
View = Annotated[str, Query(pattern="^(table)?$")]
Text = Annotated[str, Query(max_length=MAX_TEXT)]
Field = Annotated[str, Form(max_length=MAX_TEXT)]


async def user_or_prometheus(request: Request, given: Bearer) -> None:
    """Let in callers with the metrics' token, or with a login to Airflow.

    Raises:
        HTTPException: 401 or 403 for others.
    """
    token = os.environ.get("PIPELINE_METRICS_TOKEN")
    if not (token and given and compare_digest(given.credentials.encode(), token.encode())):
        await get_user(request, None, given)


async def guard(response: Response) -> None:
    """Add the headers that tell browsers what these pages may do."""
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"


pages = APIRouter(dependencies=[Depends(get_user), Depends(guard)])
metrics = APIRouter(dependencies=[Depends(user_or_prometheus)])


@pages.get("/", response_class=HTMLResponse)
def overview(
    user: User,
    days: Days = 31,
    until: Until = "",
    stage: Text = "",
    result: Text = "",
    run: Text = "",
    view: View = "",
    sort: Sort = Asked.sort,
) -> str:
    """What runs now, trends, and the runs of every day with what readers get.

    days: how many days to show, the last one being `until`.
    stage, result, run: only these. view, sort: show a table instead.
    """
    asked, settings = Asked(days, _checked(until), stage, result, run, view, sort), Settings.from_environment()
    found = reports_of_days(settings.reports, days, until)
    readers = for_readers(found, settings.codes)
    return overview_page(found, readers, asked, _under_way(), actions.offers_to(user))


@pages.get("/now", response_class=HTMLResponse)
def now() -> str:
    """What runs now, as a part of the overview."""
    return under_way(_under_way())


@pages.get("/reports.csv", response_class=PlainTextResponse)
def table(days: Days = 31, until: Until = "", stage: Text = "", result: Text = "", run: Text = "") -> PlainTextResponse:
    """The runs as CSV: a line per stage and run."""
    asked = Asked(days, _checked(until), stage, result, run)
    text = csv_text(filter(asked.takes, reports_of_days(_reports(), days, until)))
    return PlainTextResponse(text, media_type="text/csv")


@pages.get("/reports")
def reports(days: Days = 31) -> list[PastRun]:
    """The newest run of every stage, day by day, as JSON."""
    return latest_reports(_reports(), days)


@pages.get("/report", response_class=HTMLResponse)
def report(stage: str, run: str, day: str = "") -> str:
    """One complete run report.

    Raises:
        HTTPException: 404 if the stage has written none for this run, 422 if there is no such stage or day.
    """
    found = _report(stage, day, run)
    if found is None:
        raise HTTPException(404, f"no report of stage {stage!r} for run {run!r} yet; it is written when the job ends")
    return report_page(found)


@pages.get("/compare", response_class=HTMLResponse)
def compare(run: Annotated[list[str], Query(max_length=MAX_DAYS)] = []) -> str:  # noqa: B006 (FastAPI's list)
    """Two runs side by side; each `run` is a day and the run's name.

    Raises:
        HTTPException: 422 unless there are two runs, 404 if one has no report.
    """
    if len(run) != 2:
        raise HTTPException(422, f"got {len(run)} ticked runs, expected two; go back and tick two")
    found = [_reports_of(*one.partition("/")[::2]) for one in run]
    if not all(found):
        raise HTTPException(404, f"no report of run {run[0 if not found[0] else 1]!r}")
    return comparison_page(
        *sorted(found, key=lambda reports: min(str(report.get("started_at")) for report in reports.values()))
    )


@pages.get("/run")
def run_in_airflow(dag: Text, run: Text) -> RedirectResponse:
    """Redirect from a run's page in Airflow to its run reports.

    Raises:
        HTTPException: 404 if Airflow has no such run.
    """
    found = of_dag_run(dag, run)
    if found is None:
        raise HTTPException(404, f"Airflow has no run {run!r} of the DAG {dag!r}")
    return RedirectResponse(f"./?{urlencode(found)}")


@pages.get("/undo", response_class=HTMLResponse)
def ask_to_undo(user: User, day: str) -> str:
    """Ask once more before a day is undone."""
    settings = Settings.from_environment()
    readers = for_readers(reports_of_days(settings.reports, 1, _checked(day)), settings.codes).get(day, {})
    runs = {str(report.get("run")) for report in published_of_day(settings.reports, day)}
    return actions.undo_page(day, readers, actions.proof_of(user), is_only=len(runs) == 1)


@pages.post("/undo")
def undo(user: User, day: Field, proof: Field, run: Field = "", allow_empty: Field = "") -> RedirectResponse:
    """Undo a run of a day, by starting the DAG that does so."""
    actions.check(user, UNDOING, proof)
    name = actions.start_undoing(user, _checked(day), run, bool(allow_empty))
    return RedirectResponse(f"started?{urlencode({'dag': UNDOING, 'run': name})}", status_code=303)


@pages.get("/started", response_class=HTMLResponse)
def started(dag: Text, run: Text) -> str:
    """Say that a DAG run was started."""
    return actions.started_page(dag, run)


@pages.post("/cost", response_class=HTMLResponse)
def cost(user: User, first: Field, last: Field, proof: Field, count: Field = "") -> str:
    """What a backfill of the days will cost."""
    actions.check(user, IMAGE_PIPELINE, proof)
    found = actions.estimate(_checked(first), _checked(last), bool(count))
    return actions.cost_page(first, last, bool(count), found)


@pages.get("/page.js")
def script() -> Response:
    """The script of the pages."""
    return Response(SCRIPT, media_type="text/javascript", headers=CACHED)


@pages.get("/picture/{dag}.svg")
def picture(dag: str) -> Response:
    """A picture of a DAG's stages and what they read and write, for its documentation in Airflow.

    Raises:
        HTTPException: 404 if no stage belongs to the DAG.
    """
    try:
        return Response(picture_of(dag), media_type="image/svg+xml", headers=CACHED)
    except ValueError as error:
        raise HTTPException(404, str(error)) from None


@metrics.get("/metrics", response_class=PlainTextResponse)
def prometheus(days: Days = 31) -> str:
    """Metrics of the last run of every stage in the set of codes in use, among the newest days, and of the newest
    published day."""
    settings = Settings.from_environment()
    published = newest_published(settings.reports, CHAIN[-1].name, settings.codes)
    latest = latest_reports(settings.reports, days, partial(is_in_use, codes=settings.codes))
    return metrics_text([*latest, *([published] if published else [])])


def _reports() -> str:
    return Settings.from_environment().reports


def _under_way() -> list[PastRun]:
    return attempts_under_way(_reports(), datetime.now(UTC))


def _report(stage: str, day: str, run: str) -> PastRun | None:
    try:
        return report_of(_reports(), stage, day or None, run)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _reports_of(day: str, run: str) -> dict[str, PastRun]:
    """Stage -> report of one run."""
    found = {stage: _report(stage, "" if day == ALL_DAYS else day, unquote(run)) for stage in STAGES}
    return {stage: report for stage, report in found.items() if report is not None}


def _checked(day: str) -> str:
    """The given day, or an empty text.

    Raises:
        HTTPException: 422 if there is no such day.
    """
    if day and not is_day(day):
        raise HTTPException(422, f"got the day {day!r}, expected one like {date.today()}")
    return day


app = FastAPI(title="Image pipeline", docs_url=None, redoc_url=None, openapi_url=None)
app.exception_handler(HTTPException)(to_login)
app.include_router(pages)
app.include_router(metrics)
