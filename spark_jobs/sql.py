"""Spark SQL as text."""

from __future__ import annotations


def literal(text: str) -> str:
    """A text as a literal.

    >>> literal("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
