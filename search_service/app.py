"""The application: the API below /api/v1, its description, health and metrics, and the pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from search_service.access import reader
from search_service.api import days, groups, images, operations, reference, reports, search, withdrawal
from search_service.cases import CaseFiles
from search_service.day_sheets import DaySheets
from search_service.gate import Gate
from search_service.page import routes
from search_service.refusal import handle_errors
from search_service.service import Service

STATIC = Path(__file__).parent / "page" / "static"


def create_app(service: Service) -> FastAPI:
    """The application of one worker."""
    app = FastAPI(
        title="Search for similar pictures", version="1", docs_url=None, redoc_url=None, openapi_url=None,
        description=__doc__
    )  # fmt: skip
    app.state.service = service
    app.state.day_sheets = DaySheets(service.options.settings.index)
    app.state.case_files = CaseFiles(service.options.settings)
    handle_errors(app)
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(reader)])
    for router in (
        search.router,
        images.router,
        groups.router,
        days.router,
        reports.router,
        operations.router,
        withdrawal.router,
    ):
        api.include_router(router)
    app.include_router(api)
    app.include_router(operations.open_router)
    app.include_router(operations.metrics_router)
    app.include_router(reference.router)
    app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Gate, options=service.options, counters=service.counters)
    return app
