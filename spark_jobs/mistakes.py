"""Requests that cannot be met: the user is told once, before anything runs, and nothing is tried again.

Standard library only: Airflow's plugins read it too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import date
from difflib import get_close_matches
from typing import NoReturn

from spark_jobs.pipeline import EXIT_MISTAKE, is_day

MOST_NAMED = 8


class Mistake(ValueError):
    """A wrong argument of a command, a DAG run or a setting: trying again would fail the same way (exit code 64)."""


class NothingYet(LookupError):
    """The stage finds nothing because there are no pictures: this is no fault, and trying again would not help."""


def day_of(text: str, name: str) -> date:
    """The date in the value of an option or a column; name: what the error calls it.

    Raises:
        Mistake: the text is not a date.

    >>> day_of("2026-11-02", "--day")
    datetime.date(2026, 11, 2)
    """
    if not is_day(text):
        raise Mistake(f"got {name} {text!r}, expected a date like 2026-11-02")
    return date.fromisoformat(text)


def leave(command: str, error: Exception) -> NoReturn:
    """End a command with one line that says what is wrong with its arguments, and exit code 64."""
    print(f"{command}: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
    raise SystemExit(EXIT_MISTAKE)


def nearest(name: str, known: Iterable[str]) -> str:
    """What to write in place of an unknown name: the nearest known one if there is one, else a list of those known.

    >>> nearest("detektor", ["detector", "extractor", "day"])
    'did you mean detector?'
    >>> nearest("colour", ["day", "limit"])
    'expected one of day, limit'
    """
    names = sorted(known)
    found = get_close_matches(name, names, n=1)
    if found:
        return f"did you mean {found[0]}?"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"expected one of {', '.join(names[:MOST_NAMED])}{more}" if names else "there is none"
