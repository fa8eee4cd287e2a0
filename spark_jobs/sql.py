"""Spark SQL as text."""

from __future__ import annotations

from collections.abc import Iterable


def literal(text: str) -> str:
    """A text as a literal of Spark SQL.

    >>> literal("it's")
    "'it\\\\'s'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def of_days(days: Iterable[str]) -> str:
    """Spark SQL for the rows of some days.

    >>> of_days(["2026-11-01", "2026-11-02"])
    "day IN (DATE '2026-11-01', DATE '2026-11-02')"
    """
    listed = ", ".join(f"DATE '{day}'" for day in days)
    return f"day IN ({listed})" if listed else "false"
