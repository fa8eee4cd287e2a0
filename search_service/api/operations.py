"""Addresses for operators: health, readiness, metrics and the index in use."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from search_service.access import prometheus
from search_service.api.schema import service_of
from search_service.refusal import Refusal

open_router = APIRouter(tags=["operations"])
"""Addresses that need no token: they only tell whether the service works. They are asynchronous, so that they answer
while all threads are busy."""

metrics_router = APIRouter(tags=["operations"], dependencies=[Depends(prometheus)])
router = APIRouter(tags=["index"])


@open_router.get("/health")
async def health() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@open_router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Whether the service can search; 503 until it can."""
    service = service_of(request)
    try:
        service.live.view()
    except Refusal as refusal:
        return JSONResponse({"status": "no index"}, refusal.status)
    return JSONResponse({"status": "ready"}) if service.is_warm.is_set() else JSONResponse({"status": "starting"}, 503)


@metrics_router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> str:
    """Metrics for Prometheus, of all workers: requests by kind and status, their seconds, scans, version and items of
    the index."""
    service = service_of(request)
    state = service.live.state
    gauges = [
        (
            "problem",
            "1 while the index or the list of withdrawn keys cannot be read.",
            "",
            float(bool(state["problem"])),
        )
    ]
    try:
        index = service.live.view().index
        gauges += [
            ("index_version", "Number of the index version in use.", f'version="{index.version}"',
            float(index.version.split("-")[0])),
            ("index_items", "Items that can be found.", "", float(len(index))),
        ]  # fmt: skip
    except Refusal:
        pass
    return service.counters.text(gauges)


class IndexOut(BaseModel):
    """The version in use."""

    index: str
    items: int
    model_version: str
    bits: int
    filters: list[str]
    days: list[str]
    labels: list[str]


@router.get("/index")
def index(request: Request) -> IndexOut:
    """The index version in use, its filters, and the days and labels that it has."""
    request.scope["kind"] = "index"
    service = service_of(request)
    opened = service.live.view().opened
    days, labels = list(opened.days), list(opened.labels)
    if service.peers is not None:
        days, labels = service.peers.facets()
    return IndexOut(
        index=opened.index.version, items=len(opened.index), model_version=opened.index.model_version,
        bits=8 * opened.index.code_bytes,
        filters=list(opened.index.filters()), days=days, labels=labels,
    )  # fmt: skip
