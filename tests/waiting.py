"""Waiting in tests: for a condition, with a limit, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


LIMIT_S = 1800.0
"""What a machine ten times slower than the slowest we know does not need; a test that hangs ends after it."""


def wait_for(find: Callable[[], Found | None], limit_s: float = LIMIT_S, pause_s: float = 0.02) -> Found:
    """What `find` finds, as soon as it is anything that counts as true; fails after the limit."""
    deadline = time.monotonic() + limit_s
    while not (found := find()):
        assert time.monotonic() < deadline, f"nothing came of the wait within {limit_s:.0f} s"
        time.sleep(pause_s)
    return found
