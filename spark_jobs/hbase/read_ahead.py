"""Run a scan in a thread ahead of its consumer, bounded by bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from spark_jobs.hbase.scan import Row, size_of


@dataclass
class ReadAhead:
    """Runs an iterator of batches in a thread, at most `queue_bytes` ahead of the consumer.

    waited_s: total seconds that the consumer has waited for batches.
    """

    batches: Generator[list[Row], None, None]
    queue_bytes: int
    waited_s: float = 0.0
    _queue: deque[tuple[int, list[Row]]] = field(default_factory=deque, repr=False)
    _change: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _bytes: int = 0
    _is_over: bool = False
    _error: BaseException | None = None

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield the batches; an error of the reading thread is raised here, after the batches before it."""
        threading.Thread(target=self._read, name="hbase-read-ahead", daemon=True).start()
        try:
            while (batch := self._next()) is not None:
                yield batch
        finally:
            with self._change:
                self._is_over = True
                self._change.notify_all()
        if self._error is not None:
            raise self._error

    def _next(self) -> list[Row] | None:
        start = time.perf_counter()
        with self._change:
            self._change.wait_for(lambda: self._queue or self._is_over)
            self.waited_s += time.perf_counter() - start
            if not self._queue:
                return None
            size, batch = self._queue.popleft()
            self._bytes -= size
            self._change.notify_all()
            return batch

    def _read(self) -> None:
        try:
            for batch in self.batches:
                if not self._put(batch):
                    return
        except BaseException as error:
            self._error = error
        finally:
            self.batches.close()
            with self._change:
                self._is_over = True
                self._change.notify_all()

    def _put(self, batch: list[Row]) -> bool:
        """Wait for room, then queue the batch; False if the consumer has gone. One batch always fits."""
        size = sum(size_of(row) for row in batch)
        with self._change:
            self._change.wait_for(lambda: self._is_over or not self._queue or self._bytes + size <= self.queue_bytes)
            if self._is_over:
                return False
            self._queue.append((size, batch))
            self._bytes += size
            self._change.notify_all()
            return True
