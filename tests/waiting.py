"""Waiting in tests: for a condition, with a limit, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(find: Callable[[], Found | None], limit_s: float = 300.0, pause_s: float = 0.02) -> Found:
    """What `find` finds, as soon as it is anything that counts as true; fails after the limit."""
    deadline = time.monotonic() + limit_s
    while not (found := find()):
        assert time.monotonic() < deadline, f"nothing came of the wait within {limit_s:.0f} s"
        time.sleep(pause_s)
    return found
