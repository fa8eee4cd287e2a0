"""What the tests of the pages do in the browser, and read there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.browser import Page
from tests.search_service.serving import Served

PHONE, DESK = (360, 740), (1280, 900)
CTRL, SHIFT = 2, 8
STAGE = "document.querySelector('.stage').getBoundingClientRect()"


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
