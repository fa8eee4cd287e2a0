"""Groups, days and reports as people look at them, in Debian's Chromium: by mouse, at phone width, in the dark."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from spark_jobs.stages.withdrawn_keys import write_keys
from tests.browser import Page
from tests.search_service.page_catalogue import DAYS, Catalogue
from tests.search_service.pages.looking import PHONE, keys_of, results
from tests.search_service.serving import Served
from tests.waiting import wait_for

pytestmark = pytest.mark.services


@pytest.mark.parametrize("address", ["/?key={key}&__proto__=x", "/group?name=../index", "/reports?report=constructor"])
def test_an_address_that_nobody_made_is_told_so(page: Page, served: Served, made: Catalogue, address: str) -> None:
    page.open(served.url + address.format(key=quote(made.first)))
    page.wait("!!document.querySelector('.notice .error, .case')")
    page.problems = [said for said in page.problems if "status of 4" not in said]


def test_a_group_has_its_members_and_pairs(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/groups")
    page.has(".grid .card")
    assert "1 group" in page.text("h1") and "2 shops" in page.text(".grid")
    for order in ("Newest", "Most shops", "Largest"):
        page.click(".chips button", order)
        page.wait(
            f"document.querySelector('.chips [aria-pressed=true]').textContent === '{order}' && "
            f"!document.querySelector('.loading')"
        )
    page.click(".strip")
    page.wait("location.pathname === '/group' && !!document.querySelector('.pair')")
    assert keys_of(page) == [made.first, made.copy]
    assert "0 bits" in page.text(".pair") and "similarity 1.000" in page.text(".pair")


def test_a_day_in_pictures(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/days")
    page.wait("document.querySelectorAll('.days img').length === 5")
    page.wait("[...document.querySelectorAll('.days img')].every((each) => each.naturalWidth > 0)")
    page.click(".days a", str(DAYS[0]))
    found = results(page)
    scores = served.client.get(f"/api/v1/days/{DAYS[0]}?order=score").json()["shown"]
    assert found == [row["key"] for row in scores] and [row["score"] for row in scores] == sorted(
        row["score"] for row in scores
    )
    assert page.run("document.querySelectorAll('.card rect.crop').length") == len(found)
    assert page.run("document.querySelectorAll('.card rect.found').length") == sum(
        len(row["objects"]) for row in scores
    )
    page.fill("[name=order]", "blur")
    page.wait("location.search.includes('order=blur') && !document.querySelector('.loading')")
    blurs = [row["blur"] for row in served.client.get(f"/api/v1/days/{DAYS[0]}?order=blur").json()["shown"]]
    assert blurs == sorted(blurs)
    page.click("button.face")
    page.has("dialog[open]")
    assert "Search with it" in page.text("dialog.picture")
    page.press("Escape")
    page.wait("!document.querySelector('dialog[open]')")
    page.click("a.button", "next day")
    page.wait(f"location.pathname === '/day/{DAYS[1]}' && !!document.querySelector('.grid .card')")
    page.click(".tabs button", "Refused")
    page.wait("location.search.includes('show=refused') && !document.querySelector('.loading')")
    assert sorted(keys_of(page)) == ["bad-blank/0", "bad-html_page/0"]
    page.click(".tabs button", "New in groups")
    page.wait("location.search.includes('show=members') && !document.querySelector('.loading')")
    assert keys_of(page) == [made.copy]


def test_reports_case_by_case(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/reports")
    page.has(".case")
    said = page.text(".case")
    assert "=Fine lamp" in said and "+25 %" in said and "80.00 EUR to 100.00 EUR, median 90.00 EUR" in said
    page.click(".head button", "Copyright")
    page.wait("location.search.includes('report=copyright') && !!document.querySelector('.case .tag.bad')")
    assert "boreal gmbh shows a picture of aurora ag" in page.text(".case") and "also found by sha256" in page.text(
        ".case"
    )
    assert "1 day later" in page.text(".case")
    assert page.run("document.querySelectorAll('.case img').length") == 2
    page.fill("[type=search]", "teapot")
    page.wait("location.search.includes('words=teapot') && !!document.querySelector('.empty')")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?key={key}",
        "/groups",
        "/group?name={group}",
        "/days",
        "/day/{day}",
        "/reports",
        "/reports?report=copyright",
    ],
)
def test_pages_fit_a_phone_in_the_dark_and_load_nothing_from_elsewhere(
    page: Page, served: Served, made: Catalogue, path: str
) -> None:
    page.size(*PHONE, dark=True)
    page.asked.clear()
    page.open(served.url + path.format(key=quote(made.first), group=quote(made.group), day=DAYS[1]))
    page.wait("!!document.querySelector('#main > *') && !document.querySelector('.loading')")
    assert page.run("document.documentElement.scrollWidth") <= PHONE[0]
    red, green, blue = page.run(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert max(red, green, blue) < 64
    assert page.asked and not [
        address for address in page.asked if not address.startswith((served.url, "blob:", "data:"))
    ]


def test_a_withdrawn_picture_is_on_no_page(served: Served, made: Catalogue) -> None:
    def listed() -> dict[str, Any]:
        return served.client.get(f"/api/v1/days/{DAYS[0]}").json()

    gone, before = sorted(made.files)[-1], listed()
    row = next(row for row in before["shown"] if row["key"] == gone)
    assert served.client.get(row["picture"]).status_code == httpx.codes.OK
    write_keys(made.index, [gone])
    try:
        wait_for(lambda: listed()["counts"]["found"] < before["counts"]["found"])
        assert gone not in {each["key"] for each in listed()["shown"]}
        assert served.client.get(row["picture"]).status_code == httpx.codes.NOT_FOUND
    finally:
        write_keys(made.index, [])
        wait_for(lambda: listed() == before)  # the service reads the list now and then; other tests see all pictures
