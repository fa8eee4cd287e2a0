"""The pages for people: empty shells that this service's scripts fill from its API, and the login that opens both.

Whoever has logged in has a cookie that scripts cannot read and that the browser sends with requests of these pages
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from search_service.access import COOKIE, Role, is_own_page, parts_of, role_of, role_of_token, session_cookie
from search_service.options import Options

FOLDER = Path(__file__).parent
SESSION_S = 30 * 24 * 3600
PAGES = {
    "/": ("Search", "search"),
    "/groups": ("Groups", "groups"),
    "/group": ("Group", "group"),
    "/reports": ("Reports", "reports"),
    "/days": ("Days", "days"),
    "/day/{day}": ("A day in pictures", "day"),
}
"""Address -> the title of the page and its script."""
router = APIRouter(include_in_schema=False)


def _shell(title: str, script: str) -> Callable[[Request], Response]:
    text = (FOLDER / "shell.html").read_text().format(title=f"{escape(title)} · Picture search", script=script)

    def shell(request: Request) -> Response:
        request.scope["kind"] = "page"
        role = role_of(request)
        if role is None or not role.may(Role.READER):
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(asked, safe='')}", 303)
        return HTMLResponse(text)

    return shell


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:
    """The login form."""
    return _login_page(next)


@router.post("/login")
async def login(request: Request) -> Response:
    """Handle the login form: the right token gives a session and leads to the requested page."""
    body = await request.body()
    form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    options: Options = request.app.state.service.options
    role = role_of_token(options, form.get("token", "").strip())
    if role is None or not role.may(Role.READER) or not is_own_page(request):
        return _login_page(
            form.get("next", "/"), "This is not a token of the service. Copy the whole token and try again.", 403
        )
    answer = RedirectResponse(_own_address(form.get("next", "/")), 303)
    is_secure = request.headers.get("origin", "").startswith("https:")  # as the browser sees it, before a proxy
    answer.set_cookie(
        COOKIE, session_cookie(options, role), SESSION_S, httponly=True, samesite="strict", secure=is_secure
    )
    return answer


@router.post("/logout")
def logout(request: Request) -> Response:
    """End the session of this browser."""
    answer = RedirectResponse("/login", 303)
    if is_own_page(request):
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.get("/session")
def session(request: Request) -> dict[str, bool]:
    """Whether this browser is logged in."""
    role = role_of(request)
    return {"is_open": role is not None and role.may(Role.READER)}


def _login_page(next: str, error: str = "", status: int = 200) -> Response:
    text = (FOLDER / "login.html").read_text()
    return HTMLResponse(text.format(error=escape(error), next=escape(_own_address(next), quote=True)), status)


def _own_address(asked: str) -> str:
    """An address of this service. Nothing leads to another site, be it by a host name, a second slash or a
    backslash."""
    parts = parts_of(asked)
    is_own = (
        bool(parts.path)
        and not parts.scheme
        and not parts.netloc
        and asked.startswith("/")
        and not asked.startswith(("//", "/\\"))
    )
    return asked if is_own and asked.isprintable() and not parts.path.startswith("/login") else "/"


for _address, (_title, _script) in PAGES.items():
    router.add_api_route(_address, _shell(_title, _script), response_class=HTMLResponse)
