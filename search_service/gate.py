"""The gate that every request passes: limits on its size, its time and how many are under way; headers; counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search_service.access import SAFE, no_token, role_in
from search_service.counters import Counters
from search_service.options import Options
from search_service.refusal import Refusal

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "font-src 'self'; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""The headers of every answer that does not set them itself."""
PICTURE = "/api/v1/search/picture"
"""The address that accepts pictures."""
ALWAYS_OPEN = ("/health", "/ready", "/metrics")
"""Addresses that are answered however busy the service is."""
BODY_S = 30.0
JSON_BYTES = 2 << 20
"""Most bytes of a body that is not a picture."""
BODIES = 4
"""How many bodies of the largest size a worker holds at once."""
STRANGERS = 16
"""Most requests under way at once of callers without a token, such as the login; they take no place from the others."""
STRANGER_BYTES = 64 << 10
"""Most bytes of such a request's body: a token, and the address of the requested page."""


class Gate:
    """The middleware. counters: count each request."""

    def __init__(self, app: ASGIApp, options: Options, counters: Counters) -> None:
        self._app, self._options, self._counters = app, options, counters
        self._under_way, self._bytes = {True: 0, False: 0}, 0  # by whether the caller has a token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 499

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message)
            await send(message)

        try:
            is_known = role_in(self._options, Request(scope)) is not None
            most_bytes = self._most_bytes(scope, is_known)
            with self._counted_in(scope, is_known, most_bytes):
                await self._app(scope, _Body(receive, most_bytes).receive, watched)
        except Refusal as refusal:
            await refusal.answer()(scope, receive, watched)
        finally:
            self._counters.request(scope.get("kind", "other"), status, time.monotonic() - started)

    def _most_bytes(self, scope: Scope, is_known: bool) -> int:
        """The limit on the body of a request. Callers without a token are refused before the body comes: the slowest
        would keep their place longest.

        Raises:
            Refusal: 401.
        """
        most = self._options.most_bytes
        if not is_known:
            if scope["path"].startswith("/api/") and scope["method"] not in SAFE:
                raise no_token()
            return min(most, STRANGER_BYTES)
        return most if scope["path"] == PICTURE else min(most, JSON_BYTES)

    @contextmanager
    def _counted_in(self, scope: Scope, is_known: bool, most_bytes: int) -> Iterator[None]:
        """Hold a place, and room for the body, while a request is under way.

        Raises:
            Refusal: 413 or 429.
        """
        size = _announced_bytes(scope, most_bytes)
        if scope["path"] in ALWAYS_OPEN:
            yield
            return
        most = self._options.at_once if is_known else min(STRANGERS, self._options.at_once)
        if self._under_way[is_known] >= most or self._bytes + size > BODIES * self._options.most_bytes:
            raise Refusal(
                429, f"{self._under_way[is_known]} requests under way",
                f"at most {most} at a time, and {BODIES} large pictures",
                "ask again in a second; more workers can take more (PIPELINE_SEARCH_WORKERS)", {"Retry-After": "1"},
            )  # fmt: skip
        self._under_way[is_known] += 1
        self._bytes += size
        self._counters.begun(1)
        try:
            yield
        finally:
            self._under_way[is_known] -= 1
            self._bytes -= size
            self._counters.begun(-1)


class _Body:
    """A request's body: at most `most_bytes` are received, within BODY_S."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._most_bytes, self._bytes = receive, most_bytes, 0
        self._deadline = time.monotonic() + BODY_S
        self._is_whole = False

    async def receive(self) -> Message:
        """The next message.

        Raises:
            Refusal: 408 or 413.
        """
        if self._is_whole:  # what comes next says that the client has gone
            return await self._receive()
        try:
            async with asyncio.timeout(max(self._deadline - time.monotonic(), 0)):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(
                408, f"a body that is incomplete after {BODY_S:.0f} s", "a faster body", "send it again",
                {"Connection": "close"}
            ) from None  # fmt: skip
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._bytes > self._most_bytes:
            raise too_large(self._bytes, self._most_bytes)
        return message


def too_large(size_bytes: int, most_bytes: int) -> Refusal:
    """The refusal of a body that is too large."""
    return Refusal(
        413, f"a body of {size_bytes} bytes or more", f"at most {most_bytes}",
        "send a smaller picture, or fewer queries at a time",
        {"Connection": "close"},
    )  # fmt: skip


def _announced_bytes(scope: Scope, most_bytes: int) -> int:
    """The announced size of the body; if there is none, the largest that is allowed.

    Raises:
        Refusal: 413.
    """
    if scope["method"] in SAFE:
        return 0
    given = dict(scope["headers"]).get(b"content-length", b"")
    size = int(given) if given.isdigit() else most_bytes
    if size > most_bytes:
        raise too_large(size, most_bytes)
    return size


def _add_headers(message: Message) -> None:
    given = {name.lower() for name, _ in message["headers"]}
    message["headers"] = [
        *message["headers"],
        *((name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given),
    ]
