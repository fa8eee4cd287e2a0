"""The pages as people use them, in Debian's Chromium: by mouse, by keys, at phone width, in the dark, and with what is
wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from spark_jobs.stages.withdrawn_keys import write_keys
from tests.browser import Page, browser_page
from tests.search_service.page_catalogue import DAYS, MODELS, PRODUCTS, Catalogue, draw_catalogue
from tests.search_service.serving import TOKEN, Served, serving
from tests.waiting import wait_for

pytestmark = pytest.mark.services

PHONE, DESK = (360, 740), (1280, 900)
CTRL, SHIFT = 2, 8
STAGE = "document.querySelector('.stage').getBoundingClientRect()"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return draw_catalogue(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def served(made: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    given = {"pipeline_models": MODELS, "pipeline_exports": made.exports, "detector": "detector-small", "workers": "1"}
    with serving(made.index, tmp_path_factory.mktemp("service"), **given) as service:
        yield service


@pytest.fixture(scope="module")
def browser(served: Served) -> Iterator[Page]:
    """A browser that has logged in."""
    with browser_page() as page:
        page.size(*DESK)
        log_in(page, served, TOKEN)
        page.has(".welcome")
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The same, which must not report anything that its console calls an error but what the test takes off the list."""
    browser.problems.clear()
    yield browser
    assert [said for said in browser.problems if "size=whole" not in said] == []  # no HBase runs here
    browser.size(*DESK)


def log_in(page: Page, served: Served, token: str, path: str = "/") -> None:
    page.open(f"{served.url}{path}")
    page.has("[name=token]")
    page.run("document.querySelector('[name=token]').focus()")
    page.type(token)
    page.press("Enter")


def keys_of(page: Page) -> list[str]:
    """The keys of the results, in order."""
    return page.run("[...document.querySelectorAll('.grid .card .key')].map((each) => each.textContent)")


def results(page: Page) -> list[str]:
    """The same, once they are there."""
    page.wait("!!document.querySelector('.grid .card') && !document.querySelector('.loading')")
    return keys_of(page)


def frame(page: Page) -> list[float]:
    """Left, top, width and height of the frame on the picture, in parts of it."""
    sides = "(({left, top, width, height}) => [left, top, width, height])(document.querySelector('.frame').style)"
    return page.run(f"{sides}.map((side) => parseFloat(side) / 100)")


def searched_anew(page: Page, do: Callable[[], None]) -> list[float]:
    """The frame after something that has another part searched, whose code is in the address."""
    before = page.run("location.search")
    do()
    page.wait(f"location.search !== {json.dumps(before)} && !document.querySelector('.loading')")
    return frame(page)


def give(page: Page, served: Served, path: Path) -> None:
    """Choose a file on the first page."""
    page.open(f"{served.url}/")
    page.has(".welcome")
    page.choose_file("input[type=file]", path)


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


def test_a_chosen_picture_is_framed_and_found_and_its_link_can_be_shared(
    page: Page, served: Served, made: Catalogue
) -> None:
    give(page, served, made.files[made.first])
    assert set(results(page)[:2]) == {made.first, made.copy}
    seen = served.client.post("/api/v1/search/picture", content=made.files[made.first].read_bytes()).json()["seen"][
        "crop"
    ]
    expected = [seen["x_min"], seen["y_min"], seen["x_max"] - seen["x_min"], seen["y_max"] - seen["y_min"]]
    assert frame(page) == pytest.approx(expected, abs=1e-3)
    found, address = keys_of(page), page.run("location.href")
    assert "code=" in address
    page.open(address)
    assert results(page) == found
    assert "The link carries the code alone" in page.text(".side")


def test_the_frame_is_resized_drawn_anew_and_moved_by_keys(page: Page, served: Served, made: Catalogue) -> None:
    give(page, served, made.files[made.first])
    results(page)
    framed = searched_anew(page, lambda: page.click(".chips button", "whole picture"))
    assert framed == pytest.approx([0, 0, 1, 1], abs=1e-3)
    x, y, width, height = page.run(f"(() => {{ const r = {STAGE}; return [r.x, r.y, r.width, r.height] }})()")

    def at(across: float, down: float) -> tuple[float, float]:
        return x + across * width, y + down * height

    resized = searched_anew(page, lambda: page.drag(at(0.98, 0.98), at(0.6, 0.5)))
    assert resized == pytest.approx([0, 0, 0.6, 0.5], abs=0.03)
    drawn = searched_anew(page, lambda: page.drag(at(0.7, 0.6), at(0.95, 0.9)))
    assert drawn == pytest.approx([0.7, 0.6, 0.25, 0.3], abs=0.02)
    page.run("document.querySelector('.frame').focus()")
    moved = searched_anew(page, lambda: page.press("ArrowLeft"))
    assert moved == pytest.approx([0.68, 0.6, 0.25, 0.3], abs=0.02) and moved[0] < drawn[0]
    larger = searched_anew(page, lambda: page.press("ArrowDown", SHIFT))
    assert larger[3] > moved[3] and page.run("document.activeElement.className") == "frame"


def test_a_pasted_picture_is_searched(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/")
    page.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    address = next(
        item["picture"] for item in served.client.get("/api/v1/items", params={"key": made.first}).json()["items"]
    )
    page.run(f"""(async () => {{
        const image = await createImageBitmap(await (await fetch({json.dumps(address)})).blob());
        const canvas = new OffscreenCanvas(image.width, image.height);
        canvas.getContext("2d").drawImage(image, 0, 0);
        await navigator.clipboard.write([new ClipboardItem({{"image/png": canvas.convertToBlob({{type: "image/png"}})}})]);
    }})()""")
    page.press("v", CTRL, ["paste"])
    assert len(results(page)) == PRODUCTS + 1
    assert page.text(".side h2") == "Your picture"


def test_a_dropped_picture_is_searched(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/")
    page.has(".drop")
    dropped = {"items": [], "files": [str(made.files[made.first])], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.send("Input.dispatchDragEvent", type=kind, x=600, y=400, data=dropped)
    assert set(results(page)[:2]) == {made.first, made.copy}


def test_a_key_leads_on_by_keys_alone(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/")
    page.has(".welcome")
    page.press("/")
    page.type(made.first)
    page.press("Enter")
    first = results(page)
    assert first[0] == made.copy and made.first not in first
    page.run("document.querySelector('button.face').focus()")
    page.press("Enter")
    page.has(".detail-side article")
    assert "Group of 2 pictures" in page.text(".detail-side") and "similarity 1.000" in page.text(".detail-side")
    shared = page.run("location.href")
    page.press("Escape")
    page.wait("document.querySelector('.detail-side').hidden")
    page.press("ArrowRight")
    page.press("m")
    page.wait(
        f"new URLSearchParams(location.search).get('key') === {json.dumps(first[1])} && "
        f"!document.querySelector('.loading')"
    )
    assert first[1] not in results(page)
    page.open(shared)
    page.has(".detail-side article")
    page.run("history.back()")
    page.wait(f"new URLSearchParams(location.search).get('key') === {json.dumps(first[1])}")


def test_another_part_of_a_picture_of_the_index_can_be_framed(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/?key={quote(made.first)}")
    results(page)
    page.click("button", "Frame another part of it")
    page.has(".frame")
    page.wait("location.search.includes('code=') && !document.querySelector('.loading')")
    assert made.first in keys_of(page)[:2]


def test_filters_hold_and_are_in_the_address(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/?key={quote(made.first)}")
    everything = results(page)
    label = page.run("document.querySelector('.grid .card .line span').textContent")
    page.click(".menu summary")
    page.click(".choice", label)
    page.wait(
        f"new URLSearchParams(location.search).get('label') === {json.dumps(label)} && "
        f"!document.querySelector('.loading')"
    )
    labels = page.run(
        "[...document.querySelectorAll('.grid .card .line span:first-child')].map((each) => each.textContent)"
    )
    assert set(labels) == {label} and len(labels) < len(everything)
    page.fill("[name=since]", str(DAYS[1]))
    page.wait("location.search.includes('since=') && !document.querySelector('.loading')")
    assert keys_of(page) == [made.copy]
    page.open(page.run("location.href"))
    assert results(page) == [made.copy]
    page.click("button", "Clear filters")
    page.wait("!location.search.includes('since=') && !document.querySelector('.loading')")
    assert results(page) == everything


def test_columns_of_the_index_are_filters_and_are_shown(page: Page, served: Served, made: Catalogue) -> None:
    page.open(f"{served.url}/?key={quote(made.first)}")
    results(page)
    page.fill("[name=shop]", "boreal")
    page.wait("location.search.includes('shop=boreal') && !document.querySelector('.loading')")
    assert keys_of(page) == [made.copy]
    page.click("button.face")
    page.has(".detail-side article")
    assert "boreal" in page.text(".detail-side dl") and "Price" in page.text(".detail-side dl")
    page.fill("[name=price]", f"1..{PRODUCTS - 1}")
    page.wait("location.search.includes('price=') && !document.querySelector('.loading')")
    page.has(".empty")
    page.fill("[name=shop]", "")
    page.wait("!location.search.includes('shop=') && !document.querySelector('.loading')")
    assert len(results(page)) == PRODUCTS - 1


def test_of_two_pictures_looked_at_the_second_is_shown_though_the_first_comes_late(
    page: Page, served: Served, made: Catalogue
) -> None:
    page.open(f"{served.url}/?key={quote(made.first)}")
    first, second = results(page)[:2]
    assert first == made.copy  # which has a group to be asked for
    page.run("""(() => {
        const asked = window.fetch;
        window.late = new Promise((let_go) => { window.letGo = let_go; });
        window.fetch = async (...given) => { if (String(given[0]).includes("/groups/")) await window.late; return asked(...given); };
        const faces = document.querySelectorAll(".grid .face");
        faces[0].click();
        faces[1].click();
    })()""")
    page.has("article.detail")
    page.run("window.letGo()")
    page.run("fetch('/api/v1/index').then(() => new Promise((done) => setTimeout(done)))")  # after the first has come
    assert page.text("article.detail .key") == second


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


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory, made: Catalogue) -> Path:
    """A picture of a product with 50 million pixels."""
    path = tmp_path_factory.mktemp("huge") / "huge.jpg"
    Image.open(made.files[made.first]).convert("RGB").resize((8000, 6250)).save(path, quality=60)
    return path


def test_a_picture_of_50_megapixels_is_refused_with_a_way_on(
    page: Page, served: Served, made: Catalogue, huge: Path
) -> None:
    give(page, served, huge)
    page.has(".notice")
    assert "too_many_pixels" in page.text(".notice .error")
    page.click(".notice button", "Search a smaller copy")
    assert set(results(page)[:2]) == {made.first, made.copy}
    page.problems = [said for said in page.problems if "status of 422" not in said]


def test_a_text_named_jpg_is_told_what_it_is(page: Page, served: Served, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture at all")
    give(page, served, tmp_path / "notes.jpg")
    page.has(".notice")
    assert "not_image" in page.text(".notice .error") and "Send another file." in page.text(".notice .do")
    page.problems = [said for said in page.problems if "status of 422" not in said]


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
    gone = sorted(made.files)[-1]
    listed = served.client.get(f"/api/v1/days/{DAYS[0]}").json()
    row = next(row for row in listed["shown"] if row["key"] == gone)
    assert served.client.get(row["picture"]).status_code == httpx.codes.OK
    write_keys(made.index, [gone])
    try:
        wait_for(
            lambda: served.client.get(f"/api/v1/days/{DAYS[0]}").json()["counts"]["found"] < listed["counts"]["found"]
        )
        assert gone not in {each["key"] for each in served.client.get(f"/api/v1/days/{DAYS[0]}").json()["shown"]}
        assert served.client.get(row["picture"]).status_code == httpx.codes.NOT_FOUND
    finally:
        write_keys(made.index, [])
