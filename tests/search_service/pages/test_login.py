"""Who sees the pages, in Debian's Chromium."""

from __future__ import annotations

import httpx
import pytest

from tests.browser import Page, browser_page
from tests.search_service.page_catalogue import DAYS, Catalogue
from tests.search_service.pages.looking import log_in
from tests.search_service.serving import TOKEN, Served

pytestmark = pytest.mark.services


def test_nothing_is_shown_without_the_token_and_links_lead_back(served: Served, made: Catalogue) -> None:
    with browser_page() as page:
        page.open(f"{served.url}/day/{DAYS[0]}?show=refused")
        assert page.run("location.pathname") == "/login"
        log_in(page, served, "not the token at all", f"/day/{DAYS[0]}?show=refused")
        page.wait("document.querySelector('[role=alert]').textContent")
        assert "not a token of the service" in page.text("[role=alert]")
        page.run("document.querySelector('[name=token]').focus()")
        page.type(TOKEN)
        page.press("Enter")
        page.wait("location.pathname !== '/login'")
        assert page.run("location.pathname + location.search") == f"/day/{DAYS[0]}?show=refused"
        (cookie,) = page.send("Network.getCookies")["cookies"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]
        page.click("button[aria-label='Log out']")
        page.wait("location.pathname === '/login'")
        page.open(f"{served.url}/")
        assert page.run("location.pathname") == "/login"


def test_who_comes_by_a_link_and_is_logged_in_is_led_on(page: Page, served: Served) -> None:
    page.open(
        f"{served.url}/login?next=/days"
    )  # where a link from another site ends, with which the browser sends no cookie
    page.wait("location.pathname === '/days' && !!document.querySelector('.days')")


def test_a_login_leads_to_no_other_site_and_is_no_other_sites_to_send(served: Served) -> None:
    form, own = {"token": TOKEN, "next": "/days"}, {"Origin": served.url}
    answer = httpx.post(f"{served.url}/login", data=form, headers=own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/days") and "Secure" not in answer.headers[
        "set-cookie"
    ]
    behind_tls = httpx.post(
        f"{served.url}/login", data=form, headers={"Origin": "https://shop.test", "Host": "shop.test"}
    )
    assert "Secure" in behind_tls.headers["set-cookie"]
    for elsewhere in (
        "https://elsewhere.test/",
        "//elsewhere.test",
        "/\\elsewhere.test",
        "javascript:alert(1)",
        "/login",
    ):
        answer = httpx.post(f"{served.url}/login", data={**form, "next": elsewhere}, headers=own)
        assert answer.headers["location"] == "/", elsewhere
    for headers in ({"Origin": "https://elsewhere.test"}, {}):
        answer = httpx.post(f"{served.url}/login", data=form, headers=headers)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
    shown = httpx.get(f"{served.url}/login", params={"next": '/days"><script>alert(1)</script>'}).text
    assert "<script>alert" not in shown
