"""Errors of the service: a JSON object that says what was got, what was expected, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

logger = logging.getLogger(__name__)

REFERENCE = "/api"
"""The page that describes the API."""
LOGIN = "/login"
MISSING_PAGE = Path(__file__).parent / "page" / "missing.html"


class Refusal(Exception):
    """A request that is refused. error: what was got. expected: what would be right. do: how to go on."""

    def __init__(
        self, status: int, error: str, expected: str, do: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.expected, self.do, self.headers = status, error, expected, do, dict(headers or {})

    def answer(self) -> JSONResponse:
        """The answer that the client gets."""
        content = {"error": self.error, "expected": self.expected, "do": self.do}
        return JSONResponse(content, self.status, {"Cache-Control": "no-store", **self.headers})


_BY_STATUS = {
    404: ("an address of this service", f"see {REFERENCE} for a list of them"),
    405: ("another method", f"see {REFERENCE} for the method of each address"),
}


def _is_of_browser(request: Request) -> bool:
    """Whether a person opens an address in a browser."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


async def _refused(request: Request, error: Exception) -> Response:
    """Answer as JSON; a browser that opens a page without a login is sent to the login, and back afterwards."""
    refusal = error if isinstance(error, Refusal) else Refusal(500, str(error), "an answer", "try again")
    if refusal.status == 401 and _is_of_browser(request) and "authorization" not in request.headers:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{LOGIN}?{urlencode({'next': back})}", 303)
    return refusal.answer()


async def _too_late(request: Request, error: Exception) -> Response:
    return Refusal(
        504, "no answer in time", "a less busy service, or a smaller picture", "try again later",
        {"Retry-After": "5"}
    ).answer()  # fmt: skip


async def _gone(request: Request, error: Exception) -> Response:
    """The client has gone, so nobody reads this; it counts as the client's fault."""
    return Refusal(400, "a body that broke off", "a complete one", "send it again").answer()


async def _of_http(request: Request, error: Exception) -> Response:
    """Answer as JSON; a browser at an unknown address gets a page with links to those for people."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404 and _is_of_browser(request):
        return HTMLResponse(MISSING_PAGE.read_text().format(path=escape(request.url.path[:200])), status)
    detail = str(getattr(error, "detail", error))
    expected, do = _BY_STATUS.get(status, ("a request as described", f"see {REFERENCE}"))
    got = f"{request.method} {request.url.path[:200]}: {detail[:500]}"
    return Refusal(status, got, expected, do, getattr(error, "headers", None)).answer()


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    problems: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    first = problems[0] if problems else {"loc": (), "msg": "not valid"}
    where = ".".join(str(part) for part in first["loc"])[:200]
    message = f"{where}: {str(first['msg'])[:300]}" + (f" ({len(problems)} problems in all)" if problems[1:] else "")
    return Refusal(422, message, "values as described", f"correct {where or 'the request'}; see {REFERENCE}").answer()


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s", request.method, request.url.path, exc_info=error)
    return Refusal(500, "a fault of the service", "an answer", "try again; its log says what went wrong").answer()


def handle_errors(app: FastAPI) -> None:
    """Let the application answer every error, as JSON unless a person waits for a page."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(TimeoutError, _too_late)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _unforeseen)
