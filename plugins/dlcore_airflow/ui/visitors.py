"""Visitors with a browser: those without a login are sent to it, and the page's address also works without its
slash."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import RedirectResponse, Response

from dlcore_airflow.links import PAGE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOGIN = "/api/v2/auth/login"


async def to_login(request: Request, error: HTTPException) -> Response:
    """Send a browser whose login is missing or expired to Airflow's login page, which leads back; answer all others as
    usual."""
    is_browser = "text/html" in request.headers.get("accept", "") and "authorization" not in request.headers
    if error.status_code not in (401, 403) or not is_browser:
        return await http_exception_handler(request, error)
    root = str(request.scope.get("root_path", "")).removesuffix(PAGE)
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{root}{LOGIN}?{urlencode({'next': back})}")


class PageWithoutSlash:
    """Middleware of Airflow's own application: `/pipeline` leads to `/pipeline/`, for which Airflow would look among
    its own pages."""

    def __init__(self, app: ASGIApp) -> None:
        """app: answers all other requests."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = self.app
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) == PAGE:
            query = scope.get("query_string", b"").decode("latin-1")
            answer = RedirectResponse(f"{scope['path']}/{'?' if query else ''}{query}")
        await answer(scope, receive, send)
