"""Who may do what: programs send a token in a header, browsers a cookie made from a token. Both are compared in
constant time.

The cookie is not the token: whoever reads it learns no token, and it becomes invalid when the token is drawn anew.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from fastapi import Depends, Request

from search_service.options import Options
from search_service.refusal import Refusal

COOKIE = "search_session"
SAFE = ("GET", "HEAD", "OPTIONS")


class Role(StrEnum):
    """What a caller may do; each role may also do what those before it may."""

    METRICS = "metrics"
    READER = "reader"
    OPERATOR = "operator"

    def may(self, what: Role) -> bool:
        """Whether this role includes `what`."""
        order = list(Role)
        return order.index(self) >= order.index(what)


def role_of_token(options: Options, token: str) -> Role | None:
    """The role that a token belongs to; it is compared with every token, so that the time tells nothing."""
    known = {Role.METRICS: options.metrics_token, Role.READER: options.token, Role.OPERATOR: options.operator_token}
    given = token.encode("utf-8", "surrogateescape")
    found = [role for role, own in known.items() if hmac.compare_digest(given, own.encode()) and own]
    return found[-1] if found else None


def session_cookie(options: Options, role: Role) -> str:
    """The cookie for a browser whose user has shown the token of `role`."""
    token = options.operator_token if role is Role.OPERATOR else options.token
    return hmac.new(token.encode(), f"session of {role}".encode(), hashlib.sha256).hexdigest()


def role_of_cookie(options: Options, cookie: str) -> Role | None:
    """The role that a session cookie belongs to."""
    known = [Role.READER, *([Role.OPERATOR] if options.operator_token else [])]
    given = cookie.encode("utf-8", "surrogateescape")
    found = [role for role in known if hmac.compare_digest(given, session_cookie(options, role).encode())]
    return found[-1] if found else None


def role_of(request: Request) -> Role | None:
    """The role of the caller: see `role_in`."""
    return role_in(request.app.state.service.options, request)


def role_in(options: Options, request: Request) -> Role | None:
    """The role of the caller, by the header `Authorization: Bearer TOKEN` or else by the cookie, which counts only for
    requests of our own pages."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return role_of_token(options, token.strip())
    if request.method not in SAFE and not is_own_page(request):
        return None
    return role_of_cookie(options, request.cookies.get(COOKIE, ""))


def is_own_page(request: Request) -> bool:
    """Whether, as the browser says, a page of this service sent the request."""
    sender = parts_of(request.headers.get("origin", "")).netloc
    return bool(sender) and sender == request.headers.get("host", "")


def parts_of(address: str) -> SplitResult:
    """The parts of an address; empty parts if it is not an address."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def no_token() -> Refusal:
    """The refusal of a caller without a valid token."""
    return Refusal(
        401, "no token, or not a valid one", "the header Authorization: Bearer TOKEN",
        "send the token of PIPELINE_SEARCH_TOKEN, or log in at /login", {"WWW-Authenticate": "Bearer"},
    )  # fmt: skip


def _needed(request: Request, role: Role) -> Role:
    found = role_of(request)
    if found is None:
        raise no_token()
    if not found.may(role):
        raise Refusal(
            403, f"the token of a {found}", f"that of an {role}" if role is Role.OPERATOR else f"that of a {role}",
            f"ask for the {role}'s token",
        )  # fmt: skip
    return found


async def reader(request: Request) -> Role:
    """Let in callers who may search."""
    return _needed(request, Role.READER)


async def operator(request: Request) -> Role:
    """Let in callers who may take pictures down."""
    return _needed(request, Role.OPERATOR)


async def prometheus(request: Request) -> Role:
    """Let in callers who may read the metrics."""
    return _needed(request, Role.METRICS)


Reader = Annotated[Role, Depends(reader)]
Operator = Annotated[Role, Depends(operator)]
