"""The pictures of items."""

from __future__ import annotations

import hashlib
from datetime import date
from enum import StrEnum
from typing import Annotated

import httpx
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from search_service.api.schema import Key, service_of
from search_service.query import query_of_item
from search_service.refusal import Refusal
from search_service.service import Service
from spark_jobs.hbase.scan import HBaseError

router = APIRouter(tags=["pictures"])


class Size(StrEnum):
    """The size of a picture."""

    THUMBNAIL = "thumbnail"
    WHOLE = "whole"


@router.get("/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def picture(
    request: Request,
    key: Annotated[Key, Query()],
    day: date,
    crop: Annotated[int, Query(ge=0, le=32_767)] = 0,
    size: Size = Size.THUMBNAIL,
) -> Response:
    """An item's thumbnail, or the whole picture of its key and day from HBase (JPEG)."""
    request.scope["kind"] = "image"
    service = service_of(request)
    try:
        data = (
            _picture(service, key, day, crop, size) if service.peers is None else _of_peer(service, request.url.query)
        )
    except (HBaseError, httpx.HTTPError) as error:
        raise Refusal(
            502, str(error)[:500], "an answer of HBase, or of the service that has the picture", "try again later"
        ) from None
    if not data:
        raise Refusal(
            404,
            f"no picture of {key!r} on {day}",
            "an item of the index that has a picture",
            "search again",
        )
    # Asked for again each time: a picture that was withdrawn is not shown from a browser's own memory.
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)


def _picture(service: Service, key: str, day: date, crop: int, size: Size) -> bytes:
    view = service.live.view()
    try:
        position = query_of_item(view.index, key, str(day), crop, view.withdrawn).position
    except KeyError:
        return b""
    if size is Size.WHOLE:
        return service.pictures.whole(str(day), key)
    return service.pictures.thumbnail(view, view.index.item(position or 0))


def _of_peer(service: Service, query: str) -> bytes:
    found = service.peers.picture(query) if service.peers else None
    return found.content if found else b""
