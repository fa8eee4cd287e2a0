"""Tokens and sessions."""

from __future__ import annotations

import hmac

import httpx
import pytest

from search_service import access
from search_service.access import COOKIE, Role, role_of_cookie, role_of_token, session_cookie
from search_service.options import Options
from spark_jobs.settings import Settings
from tests.search_service.serving import OPERATOR, TOKEN

OPTIONS = Options(TOKEN, Settings.from_environment({}), operator_token=OPERATOR, metrics_token="")


PATHS = (
    "api", "metrics", "openapi.json", "api/v1/index", "api/v1/groups", "api/v1/search?key=a",
    "api/v1/picture?key=a&day=2026-11-02",
)  # fmt: skip
WITHOUT = (
    {}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong-token-wrong"}, {"Authorization": f"Basic {TOKEN}"},
    {"Cookie": f"{COOKIE}={TOKEN}"},
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_without_a_token(served, path):
    for headers in WITHOUT:
        answer = httpx.get(f"{served.url}/{path}", headers=headers, trust_env=False)
        assert answer.status_code == 401 and set(answer.json()) == {"error", "expected", "do"}
        assert TOKEN not in answer.text


def test_a_browser_without_a_login_is_shown_to_it_and_back(served):
    answer = httpx.get(f"{served.url}/api?x=1", headers={"Accept": "text/html"}, trust_env=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/login?next=%2Fapi%3Fx%3D1"


def test_a_browser_at_an_unknown_address_gets_a_page_that_leads_on(served):
    answer = httpx.get(f"{served.url}/grups<b>", headers={"Accept": "text/html"}, trust_env=False)
    assert answer.status_code == 404 and "<code>/grups&lt;b&gt;</code>" in answer.text
    assert 'href="/groups"' in answer.text and "default-src" in answer.headers["content-security-policy"]
    assert set(httpx.get(f"{served.url}/grups", trust_env=False).json()) == {"error", "expected", "do"}


def test_a_session_reads_but_writes_for_our_own_pages_alone(served):
    cookies = {"Cookie": f"{COOKIE}={session_cookie(OPTIONS, Role.READER)}"}
    assert httpx.get(f"{served.url}/api/v1/index", headers=cookies, trust_env=False).status_code == 200
    body = {"queries": [{"key": "sku0/0"}]}

    def status(origin):
        headers = cookies | ({"Origin": origin} if origin else {})
        return httpx.post(f"{served.url}/api/v1/search", json=body, headers=headers, trust_env=False).status_code

    assert [status(origin) for origin in (served.url, "https://elsewhere.example", "null", "")] == [200, 401, 401, 401]


@pytest.mark.parametrize(
    "next", ["//[", "http://[", "//elsewhere.example", "/\\elsewhere.example", "/\t/elsewhere.example", "?x", "/login"]
)
def test_a_login_leads_to_no_other_site_whatever_the_link_says(served, next):
    answer = httpx.get(f"{served.url}/login", params={"next": next}, trust_env=False)
    assert answer.status_code == 200 and 'name="next" value="/"' in answer.text


def test_an_origin_that_is_no_address_is_no_page_of_ours(served):
    cookie = f"{COOKIE}={session_cookie(OPTIONS, Role.READER)}"
    for origin in ("http://[", "null", "//"):
        answer = httpx.post(
            f"{served.url}/api/v1/search",
            json={},
            headers={"Cookie": cookie, "Origin": origin, "Host": ""},
            trust_env=False,
        )
        assert answer.status_code == 401


def test_roles():
    assert role_of_token(OPTIONS, TOKEN) is Role.READER
    assert role_of_token(OPTIONS, OPERATOR) is Role.OPERATOR
    assert role_of_token(OPTIONS, "") is role_of_token(OPTIONS, TOKEN + "x") is None
    assert role_of_cookie(OPTIONS, session_cookie(OPTIONS, Role.OPERATOR)) is Role.OPERATOR
    assert role_of_cookie(OPTIONS, TOKEN) is role_of_cookie(OPTIONS, "") is None
    assert Role.OPERATOR.may(Role.READER) and not Role.METRICS.may(Role.READER)


def test_every_token_is_compared_in_constant_time(monkeypatch):
    compared, compare = [], hmac.compare_digest

    def watched(given, own):
        compared.append(own)
        return compare(given, own)

    monkeypatch.setattr(access.hmac, "compare_digest", watched)
    role_of_token(OPTIONS, TOKEN)
    right, compared[:] = list(compared), []
    role_of_token(OPTIONS, "another")
    assert compared == right == [b"", TOKEN.encode(), OPERATOR.encode()]


@pytest.mark.parametrize("token", [f"{TOKEN} ", "schlüssel-der-leser-0"])
def test_a_token_that_no_header_carries_as_it_is_is_refused_at_the_start(token):
    for name in ("SEARCH_TOKEN", "SEARCH_OPERATOR_TOKEN", "METRICS_TOKEN"):
        given = {"PIPELINE_SEARCH_TOKEN": TOKEN, f"PIPELINE_{name}": token}
        with pytest.raises(ValueError, match="got a space or a character"):
            Options.from_environment(given)


@pytest.mark.parametrize("token", ["", "short", " " * 3])
def test_a_service_without_a_token_does_not_start(token):
    with pytest.raises(ValueError, match="PIPELINE_SEARCH_TOKEN: got"):
        Options.from_environment({"PIPELINE_SEARCH_TOKEN": token})
    with pytest.raises(ValueError, match="OPERATOR_TOKEN"):
        Options.from_environment({"PIPELINE_SEARCH_TOKEN": TOKEN, "PIPELINE_SEARCH_OPERATOR_TOKEN": TOKEN})
