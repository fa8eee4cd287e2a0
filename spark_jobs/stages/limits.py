"""Limits that an image must keep, and the exception that says which one it broke.

First, the file's header and structure limit the work (bytes, pixels, scans, chunks); this holds in every thread.
Second, `time_limit` interrupts Python code, so a single long call of a C decoder ends late.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from data_contracts.reasons import Reason

MAX_PARTS = 100_000
"""Most chunks, blocks or segments of one file; a good file of 32 MB in parts of 8 KB has 4,096."""
MAX_SCANS = 1000
MAX_SCANNED_PIXELS = 2_000_000_000
"""Most pixels times scans of a JPEG: a progressive file of 40 million pixels may have 50 scans; usual are 10."""


@dataclass(frozen=True)
class Limits:
    """The limits that an image must keep, and the canonical form. Sides in pixels, entropy in bits (0 to 8).

    min_strokes: least pixels that stand out from the ground, as a multiple of the longer side: half a line across.
    placeholders: SHA-256 of files known to mean "no picture yet". timeout_s: CPU time for one picture, in a process's
        main thread; 0: no limit.
    """

    max_bytes: int = 32 << 20
    max_pixels: int = 40_000_000
    min_side: int = 32
    max_aspect: float = 16.0
    min_decoded_share: float = 0.95
    min_entropy: float = 0.15
    min_strokes: float = 0.5
    max_side: int = 1024
    jpeg_quality: int = 95
    skip_leading_garbage: bool = False
    placeholders: frozenset[str] = frozenset()
    timeout_s: float = 30.0


class Unusable(Exception):
    """The image is not used, for `reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class TimedOut(BaseException):
    """The time is over. It is no `Exception`, so that no decoder's own handler takes it for damage and goes on."""


def check_size(width: int, height: int, limits: Limits) -> None:
    """Compare the size that a header announces with the limits.

    Raises:
        Unusable: too many pixels, too long for its width, or too small.
    """
    if width * height > limits.max_pixels:
        raise Unusable(Reason.TOO_MANY_PIXELS)
    if max(width, height) > limits.max_aspect * min(width, height):
        raise Unusable(Reason.EXTREME_ASPECT)
    if min(width, height) < limits.min_side:
        raise Unusable(Reason.TOO_SMALL)


def check_parts(count: int) -> None:
    """Compare the number of parts of a file with `MAX_PARTS`.

    Raises:
        Unusable: there are more.
    """
    if count > MAX_PARTS:
        raise Unusable(Reason.TOO_MUCH_WORK)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the body after so many seconds of this process's CPU time, by SIGPROF; an earlier timer goes on.

    It is CPU time, since a busy machine is not the picture's fault. Only the main thread receives signals: Spark's
    Python workers decode there. In other threads, and for 0 seconds, there is no time limit; only the limits on work
    hold.

    Raises:
        TimedOut: in the body.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return
    is_running = True

    def interrupt(number: int, frame: object) -> None:
        if is_running:
            raise TimedOut(f"got no picture within {seconds} s of CPU time")

    started = time.process_time()
    handler = signal.signal(signal.SIGPROF, interrupt)
    outer_delay, outer_interval = signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        try:
            yield
        finally:
            is_running = False
    finally:
        rest = outer_delay and max(outer_delay - (time.process_time() - started), 1e-3)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        signal.setitimer(signal.ITIMER_PROF, rest, outer_interval)
