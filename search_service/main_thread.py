"""Work on pictures in the main thread of a worker, while another thread handles requests.

Only there can `stages.limits.time_limit` interrupt the decoding of a hostile file. One picture at a time costs no
speed, since plans share their buffers.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

LOOK_S = 0.5
Result = TypeVar("Result")


class MainThread:
    """A queue of calls, which `run` makes."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._busy_since: float | None = None

    def call(self, function: Callable[[], Result], timeout_s: float) -> Result:
        """Call a function in the main thread, and return its result.

        Raises:
            TimeoutError: it took longer; a call that had not begun is dropped.
        """
        answer: Future[Result] = Future()
        self._calls.put((function, answer))
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            answer.cancel()
            raise

    def run(self) -> None:
        """Make the calls, until `stop`."""
        while (given := self._next()) is not None:
            function, answer = given
            if not answer.set_running_or_notify_cancel():
                continue
            self._busy_since = time.monotonic()
            try:
                answer.set_result(function())
            except BaseException as error:  # also what ends a decoder that took too long
                answer.set_exception(error)
            self._busy_since = None

    def _next(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        """The next call; None after `stop`.

        The wait ends now and then: Python handles a signal that came just before it only when it is over.
        """
        while True:
            with suppress(queue.Empty):
                return self._calls.get(timeout=LOOK_S)

    def stop(self) -> None:
        """Let `run` end after the waiting calls."""
        self._calls.put(None)

    def busy_s(self) -> float:
        """Seconds since the present call began."""
        since = self._busy_since
        return time.monotonic() - since if since is not None else 0.0
