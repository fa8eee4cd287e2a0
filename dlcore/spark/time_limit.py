"""How long a task may compute in a step: the driver draws the limit from how long tasks took, the task keeps to it."""

from __future__ import annotations

import logging
import math
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dlcore.optim.exchange import Dropping
from dlcore.optim.worker import PartResult

logger = logging.getLogger(__name__)
_GROWTH = 1.01
"""BigDL's factor for a limit that more tasks have exceeded than should."""


class TimeLimit:
    """`seconds` is the limit, infinite until one is drawn.

    As in BigDL it is drawn so that among the latest steps' tasks, with those that were given up, the wanted share lies
    at or beyond it.
    """

    def __init__(self, dropping: Dropping) -> None:
        self._dropping = dropping
        self.seconds = math.inf
        self._steps = self._dropped = 0
        self._times: deque[list[float]] = deque(maxlen=dropping.window)

    def allows(self, parts: Sequence[PartResult]) -> bool:
        """Whether a step may go on with what these tasks have done."""
        finished = sum(not part.is_dropped for part in parts)
        has_records = any(part.records for part in parts)
        return has_records and finished >= len(parts) * (1 - self._dropping.most)

    def note(self, parts: Sequence[PartResult]) -> None:
        """Count a step, with what its tasks took."""
        self._steps += 1
        self._times.append([part.compute_s for part in parts if not part.is_dropped])
        self._dropped += sum(part.is_dropped for part in parts)
        if self._steps <= self._dropping.warmup or self._steps % self._dropping.window:
            return
        times = sorted((time for step in self._times for time in step), reverse=True)
        wanted = int(self._dropping.share * self._dropping.window * len(parts)) - self._dropped
        self.seconds = times[wanted - 1] if wanted > 0 else self.seconds * _GROWTH
        logger.info("a task may compute for %.3f s; %d of the last steps' were given up", self.seconds, self._dropped)
        self._times.clear()
        self._dropped = 0


class TooSlowError(BaseException):
    """The limit of time has passed. No Exception, so that a layer that catches those does not go on."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what is computed within, in the main thread, when so many seconds have passed; a kernel that runs then
    is waited for.

    Raises:
        TooSlowError: they have passed.
    """
    if math.isinf(seconds):
        yield
        return
    before = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))  # 0 would switch it off
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _interrupt(number: int, frame: Any) -> None:
    raise TooSlowError
