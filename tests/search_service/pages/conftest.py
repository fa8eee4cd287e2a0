"""A search service with a catalogue, and a browser that has logged in, for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import Page, browser_page
from tests.search_service.page_catalogue import MODELS, Catalogue, draw_catalogue
from tests.search_service.pages.looking import DESK, log_in
from tests.search_service.serving import TOKEN, Served, serving


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return draw_catalogue(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def served(made: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    given = {"pipeline_models": MODELS, "pipeline_exports": made.exports, "detector": "detector-small", "workers": "1"}
    with serving(made.index, tmp_path_factory.mktemp("service"), **given) as service:
        yield service


@pytest.fixture(scope="session")
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
    browser.size(*DESK)
    assert [said for said in browser.problems if "size=whole" not in said] == []  # no HBase runs here
