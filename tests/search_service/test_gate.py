"""Limits on what comes in: bytes, requests at a time, the time that a body takes."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from search_service import gate
from search_service.counters import Counters
from search_service.gate import Gate
from search_service.options import Options
from search_service.refusal import Refusal
from spark_jobs.settings import Settings

MOST_BYTES = 1000
TOKEN = "a-token-of-tests-0"
OPTIONS = Options(TOKEN, Settings.from_environment({}), at_once=3, most_bytes=MOST_BYTES)


class App:
    """An application that takes a body and answers when it is let."""

    def __init__(self):
        self.may_answer, self.begun = asyncio.Event(), 0
        self.counters = Counters(1)
        self.gate = Gate(self, OPTIONS, self.counters)

    async def __call__(self, scope, receive, send):
        self.begun += 1
        while (await receive()).get("more_body"):
            pass
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"private")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def client(self, token=TOKEN):
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.gate), base_url="http://test", headers=headers)


def test_more_requests_than_it_takes_are_asked_to_come_again():
    async def asked():
        app = App()
        async with app.client() as client:
            held = [asyncio.create_task(client.get("/held")) for _ in range(3)]
            while app.begun < 3:
                await asyncio.sleep(0)
            refused = await client.get("/more")
            app.may_answer.set()
            always = await client.get("/health")
            answers = [(await each).status_code for each in held]
            return refused, always, answers, (await client.get("/again")).status_code, app.counters.text()

    refused, always, answers, again, counted = asyncio.run(asked())
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1" and refused.json()["do"]
    assert always.status_code == again == 200 and answers == [200] * 3
    assert 'requests_total{kind="other",status="2xx"} 5' in counted
    assert 'requests_total{kind="other",status="429"} 1' in counted
    assert "search_requests_under_way 0" in counted


def test_large_bodies_are_held_a_few_at_a_time():
    async def asked():
        app = App()
        async with app.client() as client:
            held = [asyncio.create_task(client.post(gate.PICTURE, content=bytes(MOST_BYTES))) for _ in range(2)]
            while app.begun < 2:
                await asyncio.sleep(0)
            app.gate._bytes += (gate.BODIES - 2) * MOST_BYTES
            refused = (await client.post("/", content=b"x")).status_code
            app.may_answer.set()
            return refused, [(await each).status_code for each in held]

    assert asyncio.run(asked()) == (429, [200, 200])


def test_who_has_no_token_holds_no_place_of_others():
    """Slow logins by strangers, as many as there may be, and more; and a search whose body never comes."""

    async def asked():
        app = App()
        async with app.client() as client, app.client("wrong") as stranger:
            held = [asyncio.create_task(stranger.post("/login", content=b"token=x")) for _ in range(3)]
            while app.begun < 3:
                await asyncio.sleep(0)
            more = await stranger.post("/login", content=b"token=x")
            known = asyncio.create_task(client.post("/api/v1/search", content=b"{}"))
            searched = await stranger.post("/api/v1/search", content=slowly([b"{"], 3600))
            large = await stranger.post("/login", content=bytes(gate.STRANGER_BYTES + 1))
            app.may_answer.set()
            return [each.status_code for each in (more, await known, searched, large)], [await each for each in held]

    statuses, held = asyncio.run(asked())
    assert statuses == [429, 200, 401, 413] and {each.status_code for each in held} == {200}


async def slowly(parts, pause_s=0.0):
    for part in parts:
        await asyncio.sleep(pause_s)
        yield part


@pytest.mark.parametrize("content", [bytes(MOST_BYTES + 1), slowly([bytes(600), bytes(600)])])
def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(content):
    async def asked():
        app = App()
        app.may_answer.set()
        async with app.client() as client:
            return await client.post("/", content=content)

    answer = asyncio.run(asked())
    assert answer.status_code == 413 and str(MOST_BYTES) in answer.json()["expected"]


def test_only_a_picture_may_be_as_large_as_a_picture(monkeypatch):
    monkeypatch.setattr(gate, "JSON_BYTES", 100)

    async def asked():
        app = App()
        app.may_answer.set()
        async with app.client() as client:
            return [
                (await client.post(path, content=bytes(200))).status_code for path in ("/api/v1/search", gate.PICTURE)
            ]

    assert asyncio.run(asked()) == [413, 200]


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(gate, "BODY_S", 0.01)

    async def never():
        await asyncio.Event().wait()

    async def received():
        with pytest.raises(Refusal) as refused:
            await gate._Body(never, MOST_BYTES).receive()
        return refused.value.status

    assert asyncio.run(received()) == 408


def test_answers_have_the_headers_that_keep_browsers_safe_but_keep_their_own():
    async def asked():
        app = App()
        app.may_answer.set()
        async with app.client() as client:
            return (await client.get("/")).headers

    headers = asyncio.run(asked())
    assert headers["cache-control"] == "private" and headers["x-content-type-options"] == "nosniff"
    assert (
        "default-src 'none'" in headers["content-security-policy"]
        and "unsafe" not in headers["content-security-policy"]
    )
