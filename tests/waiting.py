"""Waiting in tests: for a condition, with a limit, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

Found = TypeVar("Found")


LIMIT_S = 900.0
"""What a machine five times slower than the slowest we know does not need; a test that hangs ends after it."""


def wait_for(find: Callable[[], Found | None], limit_s: float = LIMIT_S, pause_s: float = 0.02) -> Found:
    """What `find` finds, as soon as it is anything that counts as true; fails after the limit."""
    deadline = time.monotonic() + limit_s
    while not (found := find()):
        assert time.monotonic() < deadline, f"nothing came of the wait within {limit_s:.0f} s"
        time.sleep(pause_s)
    return found


def wait_for_a_signal() -> NoReturn:
    """Wait until a signal ends this process or its handler raises.

    `signal.pause` would wait for ever if the signal came just before it: Python calls the handler only afterwards.
    """
    while True:
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
