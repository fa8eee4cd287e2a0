"""A day in pictures: what became of a bounded choice of each day's pictures."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from data_contracts.reasons import REASONS, Reason
from search_service.api.schema import service_of
from search_service.day_sheets import SHOWN, DaySheets, Shown, is_hidden, labels_of
from search_service.refusal import Refusal
from spark_jobs.stages.day_sheet import Sheet

router = APIRouter(prefix="/days", tags=["days"])
MOST_LISTED = 400
Text = Annotated[str, Query(max_length=100)]


class DayOut(BaseModel):
    """A day: its pictures by reason, and how many of them are on its sheet. faces: addresses of a few pictures."""

    day: str
    totals: dict[str, int]
    pictures: int
    faces: list[str]


class PictureOut(BaseModel):
    """A picture and what became of it. Boxes of objects are fractions, those of crops pixels. picture: the address of
    its JPEG, or none."""

    key: str
    reason: str
    meaning: str
    format: str | None
    width: int | None
    height: int | None
    blur: float | None
    entropy: float | None
    score: float | None
    flags: list[str]
    objects: list[dict[str, Any]]
    crops: list[dict[str, Any]]
    groups: list[str]
    picture: str | None


class SheetOut(DayOut):
    """Some pictures of a day. counts: number of pictures of each kind on the sheet.
    reasons, labels: number of pictures of this kind with each.

    total: how many pass.   earlier, later: the neighbouring days that have a sheet.
    """

    counts: dict[str, int]
    reasons: dict[str, int]
    labels: dict[str, int]
    total: int
    shown: list[PictureOut]
    earlier: str | None
    later: str | None


@router.get("")
def days(request: Request) -> list[DayOut]:
    """The days that have a sheet, newest first."""
    request.scope["kind"] = "page"
    return [_day(sheet) for sheet in _sheets(request).newest(MOST_LISTED)]


@router.get("/{day}")
def a_day(
    request: Request,
    day: date,
    show: Literal["found", "missed", "members", "refused"] = "found",
    order: Literal["chance", "score", "blur", "entropy", "key"] = "score",
    reason: Text = "",
    label: Text = "",
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 48,
) -> SheetOut:
    """Pictures of a day and what became of them, sorted with the worst first, page by page."""
    request.scope["kind"] = "page"
    sheets, withdrawn = _sheets(request), service_of(request).live.view().withdrawn
    sheet = _sheet(sheets, str(day))
    rows = [row for row in sheets.rows(sheet) if not is_hidden(row, withdrawn)]
    of_kind = [row for row in rows if SHOWN[show](row)]
    found = sheets.shown(sheet, Shown(show, order, reason, label), withdrawn)
    known = sheets.days()
    return SheetOut(
        **vars(_day(sheet)),
        counts={kind: sum(map(is_shown, rows)) for kind, is_shown in SHOWN.items()},
        reasons=_counted([row["reason"]] for row in of_kind),
        labels=_counted(map(labels_of, of_kind)),
        total=len(found),
        shown=[_picture(sheet, number, row) for number, row in found[offset : offset + limit]],
        earlier=max((each for each in known if each < sheet.day), default=None),
        later=min((each for each in known if each > sheet.day), default=None),
    )


@router.get("/{day}/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def picture(
    request: Request, day: date, number: Annotated[int, Query(ge=0)], files: Text, face: bool = False
) -> Response:
    """A picture on a day's sheet (JPEG). face: one of the few that stand for the day."""
    request.scope["kind"] = "image"
    sheets = _sheets(request)
    sheet = _sheet(sheets, str(day))
    read, withdrawn = sheets.face if face else sheets.picture, service_of(request).live.view().withdrawn
    data = read(sheet, number, withdrawn) if sheet.files == files else b""
    if not data:
        raise Refusal(
            404,
            f"no picture {number} of {day}",
            "a picture that the sheet of the day names",
            "open the day again, since it may have been drawn anew",
        )
    headers = {"ETag": f'"{files}-{number}{"-face" if face else ""}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)


def _sheets(request: Request) -> DaySheets:
    sheets: DaySheets = request.app.state.day_sheets
    return sheets


def _sheet(sheets: DaySheets, day: str) -> Sheet:
    try:
        return sheets.sheet(day)
    except FileNotFoundError:
        raise Refusal(
            404, f"no sheet for {day}", "a day that similar_images has drawn",
            "run draw_days, or see /api/v1/days for the days that have a sheet"
        ) from None  # fmt: skip
    except ValueError as error:
        raise Refusal(503, str(error), "an undamaged sheet", "run draw_days with --afresh") from None


def _day(sheet: Sheet) -> DayOut:
    totals = {reason: count for reason, count in sheet.totals.items() if reason != Reason.WITHDRAWN}
    faces = [_address(sheet, number, face="true") for number in range(len(sheet.faces))]
    return DayOut(day=sheet.day, totals=totals, pictures=sheet.pictures, faces=faces)


def _address(sheet: Sheet, number: int, **more: str) -> str:
    """Where a picture of a sheet is."""
    return f"/api/v1/days/{sheet.day}/picture?{urlencode({'number': number, 'files': sheet.files, **more})}"


def _picture(sheet: Sheet, number: int, row: dict[str, Any]) -> PictureOut:
    address = _address(sheet, number)
    names = ("width", "height", "blur", "entropy", "score")
    return PictureOut(
        key=row["key"],
        reason=row["reason"],
        meaning=REASONS.get(row["reason"], ""),
        format=row.get("source_format"),
        flags=row.get("flags") or [],
        objects=row.get("objects") or [],
        crops=row.get("crops") or [],
        groups=row.get("groups") or [],
        picture=address if row.get("place") else None,
        **{name: row.get(name) for name in names},
    )


def _counted(lists: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for names in lists:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
