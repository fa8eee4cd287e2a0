"""The frame of the pipeline's pages, and the small pieces that all of them are made of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from dlcore_airflow.ui.style import STYLE

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'none'"
)
"""What a browser may do on these pages: nothing from elsewhere, and no site but Airflow's own may frame them."""


def page(title: str, body: str) -> str:
    """A complete page. title, body: HTML."""
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{title}</title><script src='page.js'></script><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    )


def in_quotes(text: str) -> str:
    """A text as an HTML attribute's value, with its quotes."""
    return f"'{escape(text, quote=True)}'"


def table(headings: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """A table of rows, which are HTML already."""
    return f"<table class={in_quotes(kind)}><tr>{''.join(headings)}</tr>{''.join(rows)}</table>"


def number(value: Any, digits: int = 0, title: str = "") -> str:
    """A cell with a number, empty without one."""
    named = f" title={in_quotes(title)}" if title else ""
    return f"<td class=n{named}>{value:,.{digits}f}</td>" if isinstance(value, int | float) else "<td class=n></td>"


def choice(name: str, values: Iterable[str], chosen: str, first: str = "all") -> str:
    """A field of a form with values to choose from."""
    options = "".join(f"<option{' selected' if value == chosen else ''}>{escape(value)}</option>" for value in values)
    return f"<label>{name}<select name={name}><option value=''>{first}</option>{options}</select></label>"
