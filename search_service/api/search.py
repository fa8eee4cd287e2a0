"""Search by code, by key, by picture."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from dlcore.vision.detector import FoundObject
from search_service.api.finding import answers_of, items_of
from search_service.api.schema import (
    Asked,
    BoxOut,
    ItemsOut,
    Key,
    PictureSearchOut,
    QueryIn,
    SearchIn,
    SearchOut,
    SeenOut,
    Text,
    service_of,
)
from search_service.query import Box, Seen, UnusablePicture
from search_service.refusal import Refusal

router = APIRouter(tags=["search"])
Version = Annotated[Text, Query(description="version of the index; empty: the newest")]
_A_PICTURE = {
    "requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
}


async def asked_by_address(
    request: Request,
    k: Annotated[int, Query(ge=1, description="neighbours")] = 10,
    label: Annotated[list[Text], Query(description="labels that pass; may be given several times")] = [],  # noqa: B006
    day: Annotated[list[date], Query(description="days that pass")] = [],  # noqa: B006
    since: date | None = None,
    until: date | None = None,
    index: Version = "",
) -> Asked:
    """Neighbours and filters from the parameters of an address; further filters go by their names."""
    own = {"k", "since", "until", "index", "key", "crop", "box", "label", "day", "of_day"}
    where: dict[str, list[str]] = {"label": label, "day": [str(each) for each in day]}
    for name, value in request.query_params.multi_items():
        if name not in own:
            where.setdefault(name, []).append(value)
    given = {name: values for name, values in where.items() if values}
    try:
        return Asked.model_validate({"k": k, "where": given, "since": since, "until": until, "index": index})
    except ValidationError as error:  # of further filters, which no parameter declares
        raise RequestValidationError(error.errors()) from None


ByAddress = Annotated[Asked, Depends(asked_by_address)]


@router.post("/search")
def search(request: Request, asked: SearchIn) -> SearchOut:
    """The nearest items for one or several queries, by code or by key."""
    request.scope["kind"] = "key" if any(query.key for query in asked.queries) else "code"
    return answers_of(service_of(request), asked)


@router.get("/search")
def search_by_key(
    request: Request,
    asked: ByAddress,
    key: Annotated[Key, Query()],
    of_day: Annotated[date | None, Query(description="day of the key; by default its newest")] = None,
    crop: Annotated[int | None, Query(ge=0)] = None,
) -> SearchOut:
    """The nearest items of one key."""
    request.scope["kind"] = "key"
    query = QueryIn(code=None, key=key, day=of_day, crop=crop, without=None)
    return answers_of(service_of(request), SearchIn(queries=[query], **asked.model_dump()))


async def picture_bytes(request: Request) -> bytes:
    """The body, whatever its declared type: the file's own bytes decide."""
    return await request.body()


async def box_of(
    box: Annotated[
        str, Query(max_length=100, description="x_min,y_min,x_max,y_max as fractions: search this part")
    ] = "",
) -> Box | None:
    """The part of a picture that somebody has framed.

    Raises:
        Refusal: 422 if it is not a box.
    """
    if not box:
        return None
    try:
        x_min, y_min, x_max, y_max = map(float, box.split(","))
        if 0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1:
            return x_min, y_min, x_max, y_max
    except ValueError:
        pass
    raise Refusal(
        422,
        f"box {box!r}",
        "four fractions x_min,y_min,x_max,y_max, 0 <= min < max <= 1",
        "for example box=0.1,0.2,0.6,0.9",
    )


@router.post("/search/picture", openapi_extra=_A_PICTURE)
def search_by_picture(
    request: Request,
    asked: ByAddress,
    box: Annotated[Box | None, Depends(box_of)],
    data: Annotated[bytes, Depends(picture_bytes)],
) -> PictureSearchOut:
    """The nearest items for the product in a picture; the body is the picture's file."""
    request.scope["kind"] = "picture"
    service = service_of(request)
    view = service.live.view(asked.index)
    try:
        seen = service.see(view, data, box)
    except UnusablePicture as error:
        raise Refusal(
            422, f"{len(data)} bytes: {error.reason.value} ({error.reason.meaning})",
            "a JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF picture",
            "send another file",
        ) from None  # fmt: skip
    except (FileNotFoundError, ImportError, ValueError) as error:
        raise Refusal(
            503,
            str(error),
            "the model that made the index",
            "an operator must check PIPELINE_MODELS, or run build_index",
        ) from None
    query = QueryIn(code=seen.code.tobytes().hex(), key=None, without=None)
    same = {"index": asked.index if service.peers else view.index.version}
    found = answers_of(service, SearchIn(queries=[query], **asked.model_dump() | same))
    return PictureSearchOut(
        index=found.index, items=found.items, seen=_seen(seen), neighbours=found.answers[0].neighbours
    )


@router.get("/items")
def items(request: Request, key: Annotated[Key, Query()], index: Version = "") -> ItemsOut:
    """The items of a key: one for each day and crop."""
    request.scope["kind"] = "key"
    return items_of(service_of(request), key, index)


def _seen(seen: Seen) -> SeenOut:
    crop, width, height = seen.crop, seen.width, seen.height
    box = BoxOut(
        x_min=crop.x_min / width, y_min=crop.y_min / height, x_max=crop.x_max / width, y_max=crop.y_max / height,
        label=crop.label, score=crop.score, source=crop.source,
    )  # fmt: skip
    return SeenOut(
        width=width, height=height, crop=box, objects=[_box(thing) for thing in seen.objects],
        code=seen.code.tobytes().hex()
    )  # fmt: skip


def _box(thing: FoundObject) -> BoxOut:
    values: dict[str, Any] = vars(thing)
    return BoxOut(**values)
