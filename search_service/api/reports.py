"""The reports over groups, case by case with pictures: what a picture costs in which shop, and pictures that appear
under another owner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from dlcore.search.entries import split_place
from search_service.api.schema import picture_address, service_of
from search_service.cases import Case, CaseFiles, Report, shown, values_of
from search_service.live import View
from search_service.refusal import Refusal

router = APIRouter(prefix="/reports", tags=["reports"])
Text = Annotated[str, Query(max_length=200)]
Start = Annotated[int, Query(ge=0, le=100_000)]
Count = Annotated[int, Query(ge=1, le=100)]


class ShownOut(BaseModel):
    """A picture of a case. picture: the address of its thumbnail; null if the index does not have it."""

    key: str
    day: str | None
    crop: int | None
    shop: str | None
    owner: str | None
    title: str | None
    picture: str | None


class CaseOut(BaseModel):
    """A case. pictures: the ones it is about. facts: the report's other columns, as text."""

    group: str
    pictures: list[ShownOut]
    facts: dict[str, str]


class ReportOut(BaseModel):
    """Some cases of a report. `cases` pass the filters, of `of` that are served; has_more: the dataset has more than
    these.

    choices: column -> the values to choose cases by. written: when the report was written (UTC).
    """

    cases: int
    of: int
    has_more: bool
    written: datetime
    choices: dict[str, list[str]]
    page: list[CaseOut]


@router.get("/prices")
def prices(request: Request, words: Text = "", currency: Text = "", start: Start = 0, count: Count = 20) -> ReportOut:
    """What the same product picture costs in different shops; the largest spreads come first."""
    return _answer(request, "price_monitoring", words, {"currency": currency}, start, count, _price_pictures)


@router.get("/copyright")
def picture_copyright(
    request: Request, words: Text = "", kind: Text = "", original_owner: Text = "", start: Start = 0, count: Count = 20
) -> ReportOut:
    """Pictures of an owner that appear under another owner or in another shop; the earliest come first."""
    exact = {"kind": kind, "original_owner": original_owner}
    return _answer(request, "picture_copyright", words, exact, start, count, _copyright_pictures)


def _answer(
    request: Request, name: str, words: str, exact: Mapping[str, str], start: int, count: int, pictures: Pictures
) -> ReportOut:
    request.scope["kind"] = "page"
    view = service_of(request).live.view()
    report = _report(request, name)
    found = shown(report, words, view.withdrawn, **exact)
    page = [
        CaseOut(group=case["group"], pictures=pictures(case, view), facts=case) for case in found[start : start + count]
    ]
    return ReportOut(
        cases=len(found),
        of=len(report.cases),
        has_more=report.has_more,
        written=datetime.fromtimestamp(report.written, UTC),
        choices={column: values_of(report, column) for column in exact},
        page=page,
    )


def _report(request: Request, name: str) -> Report:
    files: CaseFiles = request.app.state.case_files
    try:
        return files.report(name)
    except FileNotFoundError:
        raise Refusal(
            404,
            "no report yet",
            "the file that export_reports writes",
            "wait until the DAG similar_images has finished a run",
        ) from None
    except ValueError as error:
        raise Refusal(503, str(error), "an undamaged report", "run export_reports") from None


def _price_pictures(case: Case, view: View) -> list[ShownOut]:
    """The picture that stands for the group, the cheapest and the most expensive one."""
    lowest, highest = (
        _of_group(view, case["group"], case[f"{which}_key"], case[f"{which}_shop"]) for which in ("lowest", "highest")
    )
    return [_shown(case["key"], case["day"], case["crop"], title=case["title"]), lowest, highest]


def _copyright_pictures(case: Case, view: View) -> list[ShownOut]:
    """The original, then the picture that appeared later."""
    names = ("shop", "owner", "title")
    original = {name: case[f"original_{name}"] for name in names}
    later = {name: case[name] for name in names}
    return [
        _shown(case["original_key"], case["original_day"], case["original_crop"], **original),
        _shown(case["key"], case["day"], case["crop"], **later),
    ]


def _shown(key: str, day: str, crop: str, **about: str) -> ShownOut:
    said = {name: about.get(name) or None for name in ("shop", "owner", "title")}
    return ShownOut(key=key, day=day, crop=int(crop), picture=picture_address(key, day, int(crop)), **said)


def _of_group(view: View, group: str, key: str, shop: str) -> ShownOut:
    """The newest member of a group with a key; without a picture if the index has no such group."""
    found = view.index.group_list.find(group)
    places = [split_place(place.encode()) for place in found.members] if found else []
    own = max((place for place in places if place[1] == key), default=None)
    if own is None:
        return ShownOut(key=key, day=None, crop=None, shop=shop or None, owner=None, title=None, picture=None)
    return _shown(key, own[0], str(own[2]), shop=shop)


Pictures = Callable[[Case, View], list[ShownOut]]
