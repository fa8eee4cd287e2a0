"""The API's description, as OpenAPI and as a page made from it; the page loads no file from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, Response

from search_service.access import reader
from search_service.refusal import REFERENCE

router = APIRouter(include_in_schema=False, dependencies=[Depends(reader)])
Json = dict[str, Any]
_STYLE = """:root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem
}
h2 { margin: 2.5rem 0 .3rem; font-size: 1.1rem } code, pre { font-size: .95em } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884 } .method { color: #2563c9 }
@media (prefers-color-scheme: dark) { .method { color: #6ea4f5 } } a { color: inherit } p { margin: .3rem 0 }"""


def openapi_of(request: Request) -> Json:
    """The OpenAPI description of the running application."""
    app = request.app
    if not app.openapi_schema:
        schema = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        app.openapi_schema = schema
    found: Json = app.openapi_schema
    return found


_ABOUT = (
    "Send the token as `Authorization: Bearer TOKEN`. Every error is a JSON object {error, expected, do}. 429 and 503 "
    "say in Retry-After "
    "when to ask again. All answers to one request come from the index version that they name."
)


@router.get("/openapi.json")
def openapi(request: Request) -> Json:
    """The description for programs."""
    return openapi_of(request)


@router.get(f"{REFERENCE}.css", response_class=Response)
def style() -> Response:
    """The style sheet of the page."""
    return Response(_STYLE, media_type="text/css")


@router.get(REFERENCE, response_class=HTMLResponse)
def reference(request: Request) -> str:
    """The description for people."""
    schema = openapi_of(request)
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    models = "".join(_model(name, model) for name, model in schema["components"]["schemas"].items())
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{escape(schema['info']['title'])}: the API</title><link rel='icon' href='/static/icon.svg'>"
        f"<link rel='stylesheet' href='{REFERENCE}.css'>"
        f"<h1>{escape(schema['info']['title'])}</h1><p>{escape(_ABOUT)}</p>"
        f"<p>For programs: <a href='/openapi.json'>openapi.json</a></p>{operations}<h1>Objects</h1>{models}</html>"
    )


def _operation(path: str, method: str, operation: Json) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    takes = "".join(f"<p>Body: <code>{escape(kind)}</code> {_type(of['schema'])}</p>" for kind, of in body.items())
    answer = operation["responses"].get("200", {}).get("content", {})
    gives = "".join(
        f"<p>Answer: <code>{escape(kind)}</code> {_type(of.get('schema', {}))}</p>" for kind, of in answer.items()
    )
    rows = [
        (each["name"], each["schema"], each.get("required", False), each.get("description", ""))
        for each in operation.get("parameters", [])
    ]
    about = escape(str(operation.get("description") or operation.get("summary") or ""))
    return (
        f"<h2><span class=method>{method.upper()}</span> "
        f"<code>{escape(path)}</code></h2><p>{about}</p>{_table(rows)}{takes}{gives}"
    )


def _model(name: str, model: Json) -> str:
    needed = model.get("required", [])
    rows = [
        (field, schema, field in needed, schema.get("description", ""))
        for field, schema in model.get("properties", {}).items()
    ]
    about = escape(model.get("description", ""))
    return f"<h2 id='{escape(name)}'>{escape(name)}</h2><p>{about}</p>{_table(rows)}"


def _table(rows: list[tuple[str, Json, bool, str]]) -> str:
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if is_needed else ' (may be left out)'}"
        f"<td>{_type(schema)}<td>{escape(about)}</tr>"
        for name, schema, is_needed, about in rows
    )
    return f"<table>{lines}</table>" if lines else ""


def _type(schema: Json) -> str:
    """The type of a value, with a link to the object that it names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return escape(", ".join(map(str, schema["enum"])))
    kind = f"{schema.get('type', 'anything')} {schema.get('format', '')}".strip()
    bounds = "".join(
        f", {name} {schema[name]}"
        for name in ("minimum", "maximum", "default")
        if schema.get(name) not in (None, "", [], {})
    )
    return escape(kind + bounds)
