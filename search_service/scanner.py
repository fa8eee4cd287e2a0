"""Scan together queries that come together: the kernel computes their distances in one pass over the index.

A query that finds the scanner idle is scanned at once; those that come meanwhile are scanned together after it. Before
that, the scanner waits a moment for the queries of those who have just been answered: clients that ask one query after
another would otherwise come in two halves, each of which reads the index alone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from dlcore.search.codes import Codes, Distances, Indices
from dlcore.search.index import Index
from dlcore.search.segment import Where

MOST_TOGETHER = 256
PATIENCE, PATIENCE_S = 0.5, 0.05
"""The scanner waits for other queries for at most this share of the time that the last scan took, and at most so many
seconds."""
Found = tuple[Indices, Distances]


@dataclass(frozen=True)
class _Asked:
    index: Index
    codes: Codes
    k: int
    where: Where | None
    answer: Future[Found] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for queries that can be scanned together: same version, same filters, and about as many neighbours."""
        where = tuple(sorted((name, tuple(sorted(values))) for name, values in (self.where or {}).items()))
        return id(self.index), where, self.codes.shape[1], (self.k - 1).bit_length() // 3


class Scanner:
    """Scans in a thread of its own; other threads compute meanwhile, since the kernel releases the interpreter's
    lock."""

    def __init__(self, count: Callable[[int], None] = lambda queries: None) -> None:
        """count: called after each scan with the number of queries it answered."""
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._count = count
        self._expected, self._patience_s, self._ended = 1, 0.0, 0.0
        threading.Thread(target=self._run, name="scan", daemon=True).start()

    def search(self, index: Index, codes: Codes, k: int, where: Where | None, timeout_s: float) -> Found:
        """Search as `Index.search` does, together with others' queries.

        Raises:
            TimeoutError: it took longer.
        """
        asked = _Asked(index, codes, k, where)
        self._asked.put(asked)
        try:
            return asked.answer.result(timeout_s)
        except TimeoutError:
            asked.answer.cancel()
            raise

    def _run(self) -> None:
        while True:
            together: dict[tuple[object, ...], list[_Asked]] = {}
            found = self._waiting()
            started = time.monotonic()
            for asked in found:
                if not asked.answer.cancelled():
                    together.setdefault(asked.kind, []).append(asked)
            for group in together.values():
                self._scan(group)
            self._expected = len(found) + self._asked.qsize()
            self._ended = time.monotonic()
            self._patience_s = min(PATIENCE * (self._ended - started), PATIENCE_S)

    def _waiting(self) -> list[_Asked]:
        """At least one query, and all others that are waiting or, if the last scan ended a moment ago, come soon: as
        many as were being scanned or were waiting when it ended."""
        found = [self._asked.get()]
        came = time.monotonic()
        until = came + (self._patience_s if came - self._ended <= PATIENCE_S else 0.0)
        while len(found) < MOST_TOGETHER:
            wait_s = until - time.monotonic() if len(found) < self._expected else 0.0
            try:
                found.append(self._asked.get(block=wait_s > 0, timeout=max(wait_s, 0.0) or None))
            except queue.Empty:
                break
        return found

    def _scan(self, group: Sequence[_Asked]) -> None:
        self._count(sum(len(asked.codes) for asked in group))
        first = group[0]
        try:
            codes = np.concatenate([asked.codes for asked in group])
            positions, apart = first.index.search(codes, max(asked.k for asked in group), first.where)
        except Exception as error:
            for asked in group:
                _end(asked.answer, error)
            return
        start = 0
        for asked in group:
            rows = slice(start, start + len(asked.codes))
            start = rows.stop
            _end(asked.answer, (positions[rows, : asked.k], apart[rows, : asked.k]))


def _end(answer: Future[Found], result: Found | Exception) -> None:
    with suppress(InvalidStateError):  # nobody waits any more
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
