"""Searches as people make them, in Debian's Chromium: by mouse, by keys, and with what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from tests.browser import Page
from tests.search_service.page_catalogue import DAYS, PRODUCTS, Catalogue
from tests.search_service.pages.looking import CTRL, SHIFT, STAGE, frame, give, keys_of, results, searched_anew
from tests.search_service.serving import Served

pytestmark = pytest.mark.services


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
    page.wait("location.search.includes('code=')")
    found, address = keys_of(page), page.run("location.href")
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
